"""What a decoder's logits say of the pixels, p(x|z): Bernoulli, or continuous Bernoulli.

Both are exponential families, log p(x) = x l - A(l) for a pixel with the logit l, with mean A'(l).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mnist_vae import continuous_bernoulli, elbo, logistic


@dataclass(frozen=True)
class Pixels:
    """A distribution of pixels: functions of logits (..., D) and pixels x (..., D).

    log_px_z: log p(x|z), summed over the last axis, nats, differentiable in the logits. log_px_z_:
    the same without a gradient; may use the logits up. log_partition: A(l); mean: E[x]; logit: the
    logit of a mean; all three elementwise.
    """

    name: str
    log_px_z: Callable[[Tensor, Tensor], Tensor]
    log_px_z_: Callable[[Tensor, Tensor], Tensor]
    log_partition: Callable[[Tensor], Tensor]
    mean: Callable[[Tensor], Tensor]
    logit: Callable[[Tensor], Tensor]


BERNOULLI = Pixels(
    "bernoulli", elbo.log_px_z, elbo.log_px_z_, elbo.softplus, logistic.sigmoid, torch.logit
)
CONTINUOUS_BERNOULLI = Pixels(
    "continuous_bernoulli",
    continuous_bernoulli.log_px_z,
    continuous_bernoulli.log_density,
    continuous_bernoulli.log_partition,
    continuous_bernoulli.mean,
    continuous_bernoulli.logit,
)


def of(likelihood: str) -> Pixels:
    """The distribution of a likelihood, or protocol: greyscale and binarized share Bernoulli's."""
    return CONTINUOUS_BERNOULLI if likelihood == CONTINUOUS_BERNOULLI.name else BERNOULLI
