"""A linear layer that runs at the processor's full rate.

torch's CPU matmul is MKL's, which on processors not made by Intel stays with AVX2. oneDNN, which
torch carries as well, uses AVX-512 wherever it is: twice the rate on such a machine. Intel's own
and those without AVX-512 are faster with MKL's, by a fifth and by a tenth, but in portable
arithmetic it is three times as slow. oneDNN's linear map is what torch.compile calls; here it gets
a gradient.
"""

from typing import Any

import torch
from torch import Tensor, nn

from mnist_vae import arithmetic, sums

ONEDNN = (
    torch.backends.mkldnn.is_available()  # not in every build for other processors
    and (
        arithmetic.portable()
        or (torch.backends.cpu.get_cpu_capability() == "AVX512" and not arithmetic.by_intel())
    )
)


class Linear(nn.Linear):
    """As torch.nn.Linear: x (..., in_features) -> (..., out_features)."""

    def forward(self, x: Tensor) -> Tensor:
        """W x + b."""
        return linear(x, self.weight, self.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x (..., I), weight (O, I), bias (O,) -> x weight^T + bias (..., O), with a gradient."""
    exported = torch.compiler.is_compiling()  # torch.export shall see the standard operation
    if exported or not x.is_cpu or x.dtype != torch.float32 or not ONEDNN:
        return nn.functional.linear(x, weight, bias)
    result: Tensor = _Affine.apply(x.reshape(-1, weight.shape[1]), weight, bias)
    return result.view(*x.shape[:-1], len(weight))


class _Affine(torch.autograd.Function):
    """x (N, I), weight (O, I), bias (O,) -> (N, O), with all three matmuls by oneDNN."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        back = product(gradient, weight.t()) if ctx.needs_input_grad[0] else None
        return back, product(gradient.t(), x.t()), sums.rows(gradient)


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (N, I), weight (O, I), bias (O,) or none -> x weight^T + bias (N, O), by oneDNN."""
    # Of a single row oneDNN divides the sum itself between threads, and rounds by their number.
    several = x.expand(2, -1) if len(x) == 1 else x
    result: Tensor = torch.ops.mkldnn._linear_pointwise(several, weight, bias, "none", [], "")
    return result[: len(x)]


def affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """As `product`, without a gradient, by whichever is the faster and on any device."""
    if ONEDNN and x.is_cpu and x.dtype == torch.float32:
        return product(x, weight, bias)
    return torch.addmm(bias, x, weight.T)
