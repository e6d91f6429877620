"""A training step as one CUDA graph: one launch in place of a hundred.

At these sizes a GPU computes a step faster than Python can launch its kernels one by one. A graph
is recorded once and then replayed on other batches (Nguyen et al. 2021, "Accelerating PyTorch with
CUDA Graphs"). What the step reads must stay at its address: batch, learning rate, beta.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

WARM_UP = 3  # steps before the recording, in which libraries make their workspaces


class Replayed:
    """`step` with the same results, replayed for all batches of `batch_size` images.

    step: indices (B,) on the GPU -> a tensor; its random draws come from `generators` alone. The
    tensor that a call returns is overwritten by the next one.
    """

    def __init__(
        self,
        step: Callable[[Tensor], Tensor],
        batch_size: int,
        generators: Sequence[torch.Generator],
        device: torch.device,
    ) -> None:
        self._step = step
        self._generators = generators
        self._batch = torch.zeros(batch_size, dtype=torch.int64, device=device)
        self._stream = torch.cuda.Stream(device)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._result = torch.empty(0)
        self._warm = 0

    def __call__(self, batch: Tensor) -> Tensor:
        """Another size, as the last batch of an epoch has, and the first steps run as they are."""
        if len(batch) != len(self._batch):
            return self._step(batch)
        if self._warm < WARM_UP:
            self._warm += 1
            return self._aside(batch)
        self._batch.copy_(batch)
        if self._graph is None:
            self._graph = self._record()
        self._graph.replay()
        return self._result

    def _aside(self, batch: Tensor) -> Tensor:
        """On a stream of its own, as recording asks of the steps before it."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            result = self._step(batch)
        torch.cuda.current_stream().wait_stream(self._stream)
        return result

    def _record(self) -> torch.cuda.CUDAGraph:
        """Record one step; nothing is computed yet."""
        graph = torch.cuda.CUDAGraph()
        for generator in self._generators:
            graph.register_generator_state(generator)  # each replay goes on in its sequence
        with torch.cuda.graph(graph, stream=self._stream):
            self._result = self._step(self._batch)
        return graph
