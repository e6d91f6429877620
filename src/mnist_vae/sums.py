"""Sums down the rows of a matrix, with the same bytes on any number of threads with AVX2.

torch divides the columns between threads, and adds up what is left over of a vector's width in
another order, or by another exponential, than the rest. Here columns of zeros leave nothing over.
A single column it would divide by its rows.
"""

import torch
from torch import Tensor, nn

VECTOR = 8  # floats that AVX2 takes at a time
NARROW = 32  # columns that torch gives to one thread


def rows(x: Tensor) -> Tensor:
    """Sum of the rows of x (N, D): (D,)."""
    return _whole(x).sum(0)[: x.shape[1]]


def mean(x: Tensor) -> Tensor:
    """Mean of the rows of x (N, D): (D,)."""
    return rows(x) / len(x)


def logsumexp(x: Tensor) -> Tensor:
    """log of the sum of exp(x) over the rows of x (N, D): (D,)."""
    return _whole(x).logsumexp(0)[: x.shape[1]]


def softmax(x: Tensor) -> Tensor:
    """exp(x) over its sum, for each column of x (N, D): (N, D)."""
    threads = torch.get_num_threads() if x.is_cpu else 1
    return _filled(x, threads * VECTOR).softmax(0)[:, : x.shape[1]]


def _whole(x: Tensor) -> Tensor:
    return x if not x.is_cpu or 1 < x.shape[1] <= NARROW else _filled(x, VECTOR)


def _filled(x: Tensor, width: int) -> Tensor:
    """x (N, D) with columns of zeros up to a multiple of the width."""
    missing = -x.shape[1] % width
    return nn.functional.pad(x, (0, missing)) if missing else x
