"""The continuous Bernoulli, a density of intensities in [0, 1], as pure functions of its logits.

Loaiza-Ganem & Cunningham 2019 (arXiv:1907.06845). With the logit l of the parameter lambda
log p(x) = x l - A(l), A(l) = log((exp(l) - 1) / l): its mean is A'(l), and not lambda. It falls off
exponentially from a peak, at 1 if l > 0 and at 0 if l < 0. With a = |l|, and d the distance of x
from there, log p(x) = log h(a) - a d, where h(a) = a / (1 - exp(-a)).

Both h and the mean distance E[d] are 0/0 at a = 0: below NEAR they are series. All exponentials
are the sigmoid's, exp(-a) = q / (1 - q) with q = sigmoid(-a), which is alike on all CPUs.
"""

from typing import Any

import torch
from torch import Tensor

from mnist_vae import logistic

NEAR = 1.0
# log h(a) - a / 2 = -log(sinh(a / 2) / (a / 2)) = a^2 sum_k c_k a^(2k), and its derivative,
# E[d] - 1/2 = a sum_k c_k a^(2k). At NEAR what is left out is below 3e-8.
_LOG_PEAK = (-1 / 24, 1 / 2880, -1 / 181_440, 1 / 9_676_800)
_DISTANCE = (-1 / 12, 1 / 720, -1 / 30_240, 1 / 1_209_600)


def log_peak(size: Tensor) -> Tensor:
    """log h(a), the log-density at the peak, of a = `size` from 0: elementwise."""
    near, far = size.clamp(max=NEAR), size.clamp(min=NEAR)
    q = logistic.sigmoid(-far)
    square = near.square()
    series = (_polynomial(square, _LOG_PEAK) * square).add_(near / 2)
    return torch.where(size < NEAR, series, (far * (1 - q) / (1 - 2 * q)).log_())


def mean_distance(size: Tensor) -> Tensor:
    """E[d] = 1/a - 1/(exp(a) - 1), from 1/2 down to 0, of a = `size` from 0: elementwise."""
    near, far = size.clamp(max=NEAR), size.clamp(min=NEAR)
    q = logistic.sigmoid(-far)
    series = (_polynomial(near.square(), _DISTANCE) * near).add_(0.5)
    return torch.where(size < NEAR, series, 1 / far - q / (1 - 2 * q))


def _polynomial(x: Tensor, coefficients: tuple[float, ...]) -> Tensor:
    """sum_k c_k x^k, k from 0, by Horner's rule."""
    total = torch.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total.mul_(x).add_(coefficient)
    return total


def log_partition(logits: Tensor) -> Tensor:
    """A(l), elementwise; without a gradient."""
    return logits.relu() - log_peak(logits.abs())


def mean(logits: Tensor) -> Tensor:
    """E[x] = A'(l), elementwise; without a gradient."""
    distance = mean_distance(logits.abs())
    return torch.where(logits > 0, 1 - distance, distance)


def logit(mean: Tensor) -> Tensor:
    """The logits of which these are the means, between 0 and 1, elementwise: by bisection."""
    distance = torch.minimum(mean, 1 - mean)
    low, high = torch.zeros_like(mean), 1 / distance  # E[d] < 1/a
    for _ in range(40):
        middle = (low + high) / 2
        too_flat = mean_distance(middle) > distance
        low, high = torch.where(too_flat, middle, low), torch.where(too_flat, high, middle)
    return torch.where(mean < 0.5, -low, low)


@torch.no_grad()
def log_density(logits: Tensor, x: Tensor) -> Tensor:
    """Log-density of pixels `x` in [0, 1], summed over the last axis; without a gradient.

    logits (..., D), x (..., D) broadcastable to it -> (...,), nats.
    """
    terms = (x * logits).sub_(logits.relu())  # -a d, without a rounding at the peak
    return terms.add_(log_peak(logits.abs())).sum(-1)


class _LogDensity(torch.autograd.Function):
    """log_density, with the gradient x - E[x] for the logits alone."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, x: Tensor) -> Tensor:
        ctx.save_for_backward(logits, x)
        return log_density(logits, x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        logits, x = ctx.saved_tensors
        distance = mean_distance(logits.abs())
        apart = torch.where(logits > 0, distance - (1 - x), x - distance)
        return apart.mul_(gradient.unsqueeze(-1)), None


def log_px_z(logits: Tensor, x: Tensor) -> Tensor:
    """As `log_density`; differentiable in the logits only."""
    result: Tensor = _LogDensity.apply(logits, x)
    return result
