"""Where training stands, kept so that a killed run goes on and ends with the same bytes.

Checkpoints are no DVC outputs (DVC removes those before a stage runs): they live in an ignored
folder of the main repository, named after everything that determines the training.
"""

import hashlib
import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mnist_vae.arrays import read_arrays, write_arrays
from mnist_vae.errors import PipelineError

FOLDER = ".checkpoints"
PLACE = "MNIST_VAE_CHECKPOINTS"  # environment variable: another folder, that outlives this machine
INTERVAL = "MNIST_VAE_CHECKPOINT_SECONDS"  # environment variable; 30 if it is not set


def path_for(
    stage: str, digests: Mapping[Path, str], params: Sequence[object], device: torch.device
) -> Path:
    """Where the checkpoint of a stage's parameters, code and data (`digests`) and torch belongs.

    The name is a hash of all that determines the outputs: a checkpoint of anything else is never
    found. It stands in the folder MNIST_VAE_CHECKPOINTS, or else in the main repository, also of a
    temporary workspace of `dvc exp run`.
    """
    digest = hashlib.sha256(f"{params} {torch.__version__} {device.type}".encode())
    for file in sorted(digests):
        digest.update(f"{file} {digests[file]} ".encode())
    ours = Path(os.environ.get("DVC_ROOT", ".")) / FOLDER
    folder = Path(os.environ.get(PLACE) or ours)
    return folder / f"{stage}-{digest.hexdigest()[:32]}.safetensors"


def interval() -> float:
    """Seconds between checkpoints: MNIST_VAE_CHECKPOINT_SECONDS or 30. It changes no result."""
    given = os.environ.get(INTERVAL, "30")
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not seconds >= 0:
        raise PipelineError(f"{INTERVAL} is {given!r}; it must be a number of seconds, 0 or more")
    return seconds


@dataclass(frozen=True)
class Parts:
    """What training changes in place, by name: all but its State."""

    models: Mapping[str, nn.Module]
    moments: Mapping[str, Tensor]
    generators: Mapping[str, torch.Generator]


@dataclass
class State:
    """Progress inside an epoch: batches done, sums of (objective, rate, distortion) so far."""

    epoch: int
    batch: int
    sums: Tensor
    history: list[dict[str, float]]

    @classmethod
    def at_epoch(cls, epoch: int, history: Sequence[dict[str, float]] = ()) -> "State":
        """The start of an epoch (counted from 0)."""
        return cls(epoch, 0, torch.zeros(3, dtype=torch.float64), list(history))

    def add(self, batch: Tensor) -> None:
        """Count one batch's sums (3,); stays on the device, so that no step waits for it."""
        self.sums = self.sums.to(batch.device) + batch
        self.batch += 1

    def means(self, images: int) -> list[float]:
        """Means over the epoch's images."""
        values: list[float] = (self.sums / images).tolist()
        return values


class Checkpoint:
    """One training's checkpoint file."""

    def __init__(self, path: Path, seconds: float) -> None:
        self.path = path
        self.seconds = seconds
        self._warned = False
        self._saved = time.monotonic()
        self._signal: str | None = None
        self._finished: Callable[[], bool] | None = None

    @contextmanager
    def catch_signals(self) -> Iterator[None]:
        """Turn SIGTERM and SIGINT into a request that `stop_requested` answers."""

        def request(number: int, _: FrameType | None) -> None:
            self._signal = signal.Signals(number).name

        before = {
            number: signal.signal(number, request) for number in (signal.SIGTERM, signal.SIGINT)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def stop_requested(self) -> str | None:
        """The name of the signal that asked to stop, if one did."""
        return self._signal

    def due(self) -> bool:
        """Is the last checkpoint older than `seconds`?"""
        return time.monotonic() - self._saved >= self.seconds

    def save(self, parts: Parts, state: State) -> bool:
        """Write weights, Adam's moments, generators and sums, atomically; was it done?

        A diverged state is not saved: the last good checkpoint stays. A checkpoint that cannot
        be written is a warning: it is there to help, never to hinder.
        """
        self._saved = time.monotonic()
        arrays = {
            f"{kind}/{name}": tensor
            for kind, model in parts.models.items()
            for name, tensor in model.state_dict().items()
        }
        if not all(tensor.isfinite().all() for tensor in (state.sums, *arrays.values())):
            return False
        arrays |= {f"adam/{name}": tensor for name, tensor in parts.moments.items()}
        arrays["sums"] = state.sums
        for name, generator in parts.generators.items():
            arrays[f"generator/{name}"] = generator.get_state()
        content = {name: tensor.detach().cpu().numpy() for name, tensor in arrays.items()}
        progress = json.dumps(
            {"epoch": state.epoch, "batch": state.batch, "history": state.history}
        )
        metadata = {"progress": progress, "sha256": _checksum(content, progress)}
        try:
            write_arrays(self.path, content, metadata)
        except OSError as error:
            if not self._warned:
                reason = f"{error.strerror}: {self.path}"
                print(f"warning: no checkpoint written ({reason})", file=sys.stderr)
            self._warned = True
            return False
        return True

    def finish(self, parts: Parts, state: State) -> None:
        """Training has ended in this state; it is saved only if `until_in_place` calls for it."""
        self._finished = lambda: self.save(parts, state)

    @contextmanager
    def until_in_place(self) -> Iterator[None]:
        """Train and put the results in place: then leave no checkpoint behind.

        A training that has finished is saved if its results do not get there; the next one of the
        same inputs ends at once.
        """
        try:
            yield
        except BaseException:
            if self._finished and self._finished():
                print("the finished training is kept as a checkpoint", file=sys.stderr)
            raise
        self._remove()

    def restore(self, parts: Parts) -> State | None:
        """Load into the parts, and return the state; None if there is none.

        A damaged checkpoint is named and ignored: training starts over.
        """
        if not self.path.exists():
            return None
        try:
            arrays, metadata = read_arrays(self.path)
            if metadata["sha256"] != _checksum(arrays, metadata["progress"]):
                raise ValueError("wrong checksum")  # safetensors has none
            state = _restore(parts, arrays, json.loads(metadata["progress"]))
        except (PipelineError, OSError, KeyError, ValueError, RuntimeError) as error:
            reason = error.__cause__ or error
            print(
                f"warning: checkpoint {self.path} is damaged ({reason}); training starts over",
                file=sys.stderr,
            )
            return None
        where = f"in epoch {state.epoch + 1}" if state.batch else f"after epoch {state.epoch}"
        print(f"going on from the checkpoint {where}", file=sys.stderr)
        return state

    def _remove(self) -> None:
        half_written = self.path.parent.glob(f".{self.path.name}.*.tmp")  # by a killed process
        with suppress(OSError):  # a folder that nothing could be written to
            for file in (self.path, *half_written):
                file.unlink(missing_ok=True)


def _checksum(arrays: Mapping[str, np.ndarray], progress: str) -> str:
    digest = hashlib.sha256(progress.encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()


def _restore(parts: Parts, arrays: dict[str, np.ndarray], progress: dict[str, Any]) -> State:
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    state = State(progress["epoch"], progress["batch"], tensors["sums"], progress["history"])
    for kind, model in parts.models.items():
        model.load_state_dict({name: tensors[f"{kind}/{name}"] for name in model.state_dict()})
    for name, generator in parts.generators.items():
        generator.set_state(tensors[f"generator/{name}"])
    for name, moment in parts.moments.items():
        moment.copy_(tensors[f"adam/{name}"])
    return state
