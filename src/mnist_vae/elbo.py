"""The evidence lower bound and its parts, as pure functions of tensors, in nats.

Kingma & Welling 2014 (arXiv:1312.6114); the names rate and distortion from Alemi et al. 2018
(arXiv:1711.00464): elbo = -(rate + distortion). Docs: docs/method.md.
"""

import math
from typing import Any

import torch
from torch import Tensor

from mnist_vae import logistic, sums

LOG_2PI = math.log(2 * math.pi)


def softplus(logits: Tensor) -> Tensor:
    """log(1 + exp(logits)), elementwise; without a gradient.

    As relu(l) - log(sigmoid(|l|)) it takes a tenth of torch's time on a CPU, whose log1p is not
    vectorised. Right to float32's rounding.
    """
    return logits.relu() - logistic.sigmoid_(logits.abs()).log_()


def sum_of_logs(values: Tensor) -> Tensor:
    """Sum over the last axis of log(v), 1/2 <= v <= 1: (..., D) -> (...,); may use `values` up.

    One logarithm for the product of 56 values, which cannot underflow, where D is divisible by it.
    """
    if values.shape[-1] % 56 == 0:
        values = values.unflatten(-1, (8, -1)).prod(-2).unflatten(-1, (7, -1)).prod(-2)
    return values.log_().sum(-1)


class _BernoulliLogLikelihood(torch.autograd.Function):
    """sum_i x_i l_i - softplus(l_i), with the gradient x_i - sigmoid(l_i) for the logits alone.

    softplus(l) = relu(l) - log max(p, 1 - p) with p = sigmoid(l), the only exponential.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, x: Tensor) -> Tensor:
        p = logistic.sigmoid(logits)
        ctx.save_for_backward(p, x)
        linear = (x * logits).sum(-1) - logits.relu().sum(-1)
        return linear.add_(sum_of_logs(torch.maximum(p, 1 - p)))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        p, x = ctx.saved_tensors
        return (x - p).mul_(gradient.unsqueeze(-1)), None


def log_px_z(logits: Tensor, x: Tensor) -> Tensor:
    """Bernoulli log-likelihood of pixels `x` in [0, 1], summed over the last axis.

    logits (..., D), x (..., D) broadcastable to it -> (...,). For intensities between 0 and 1 it
    is the negative cross-entropy, the greyscale protocol; for {0, 1} it is a log-probability.
    Differentiable in the logits only.
    """
    result: Tensor = _BernoulliLogLikelihood.apply(logits, x)
    return result


@torch.no_grad()
def log_px_z_(logits: Tensor, x: Tensor) -> Tensor:
    """log_px_z without a gradient, in a third of its time on a CPU; uses the logits up.

    With softplus(l) = (l + |l|) / 2 - log sigmoid(|l|).
    """
    centred = x - 0.5
    linear = logits @ centred if x.dim() == 1 else (logits * centred).sum(-1)
    size = logits.abs_()
    linear -= 0.5 * size.sum(-1)
    return linear.add_(sum_of_logs(logistic.sigmoid_(size)))


def kl_per_unit(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp(log_variance)) || N(0, 1)) of each latent unit: (..., L) -> (..., L).

    Kingma & Welling 2014, appendix B.
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)


def reparameterize(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """z = mean + exp(log_variance / 2) * noise, with standard normal noise (..., L)."""
    return mean + torch.exp(0.5 * log_variance) * noise


def log_normal(z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Log-density of a diagonal Gaussian, summed over the last axis: (..., L) -> (...,)."""
    squares = (z - mean).square() * torch.exp(-log_variance)
    return -0.5 * (LOG_2PI + log_variance + squares).sum(-1)


def log_standard_normal(z: Tensor) -> Tensor:
    """Log-density of N(0, I), summed over the last axis: (..., L) -> (...,)."""
    return -0.5 * (LOG_2PI + z.square()).sum(-1)


def iwae_bound(log_weights: Tensor) -> Tensor:
    """log mean_k w_k, (K, B) -> (B,): the importance-weighted bound (Burda et al. 2015, eq. 8).

    log_weights = log p(x|z_k) + log p(z_k) - log q(z_k|x), z_k ~ q(z|x).
    """
    return sums.logsumexp(log_weights) - math.log(len(log_weights))
