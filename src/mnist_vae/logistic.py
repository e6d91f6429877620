"""The logistic function, with the same bytes on any number of threads.

torch computes what is left over of a vector's width by another function than the rest, a rounding
apart, and leaves something over at each place where it divides the work between threads. Here it
is divided at whole vectors, so that the only rest is the tensor's own.
"""

import torch
from torch import Tensor

GRAIN = 32768  # elements from which on torch takes another thread (at::internal::GRAIN_SIZE)
VECTOR = 32  # floats that its vectorised loop takes at a time, at most


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x)), elementwise, with torch's gradient."""
    parts = _parts(x)
    if len(parts) == 1:
        return x.sigmoid()
    return torch.cat([part.sigmoid() for part in parts]).view(x.shape)


def sigmoid_(x: Tensor) -> Tensor:
    """As `sigmoid`, in place, of a contiguous tensor."""
    for part in _parts(x):
        part.sigmoid_()
    return x


def _parts(x: Tensor) -> list[Tensor]:
    """The tensor, or pieces of it that torch divides at whole vectors."""
    if not x.is_cpu or torch.compiler.is_compiling():
        return [x]
    end, cuts = x.numel(), []
    while (threads := _threads(end)) > 1 and -(-end // threads) % VECTOR:
        end -= end % (threads * VECTOR)
        cuts.append(end)
    return list(x.reshape(-1).tensor_split(cuts[::-1])) if cuts else [x]


def _threads(count: int) -> int:
    """How many threads torch gives an elementwise operation on so many elements."""
    return max(1, min(torch.get_num_threads(), -(-count // GRAIN)))
