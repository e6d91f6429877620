"""q(z|x) of many images, and what images lose on their way through it."""

from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import trange

from mnist_vae import elbo, runtime
from mnist_vae.model import VAE


@dataclass(frozen=True)
class Posterior:
    """q(z|x) of N images: mean and log-variance (N, L), KL of each unit (N, L), nats.

    The KL is that to the Gaussian with the prior's mean and variance of the unit: to the prior, if
    that is N(0, I).
    """

    mean: Tensor
    log_variance: Tensor
    kl_per_unit: Tensor


@torch.no_grad()
def infer(model: VAE, x: Tensor, chunk: int = 1000) -> Posterior:
    """Encode x (N, 784)."""
    parts = [model.encode(images) for images in x.split(chunk)]
    mean, log_variance = (torch.cat(part) for part in zip(*parts, strict=True))
    middle, deviation = model.prior.moments(x.device)
    scaled = (mean - middle) / deviation, log_variance - 2 * deviation.log()
    return Posterior(mean, log_variance, elbo.kl_per_unit(*scaled))


@torch.no_grad()
def variance_of_means(model: VAE, posterior: Posterior) -> Tensor:
    """Variance of each unit's mean over the images, as part of the prior's variance: (L,)."""
    _, deviation = model.prior.moments(posterior.mean.device)
    return posterior.mean.var(0) / deviation.square()


@torch.no_grad()
def rate_and_distortion(
    model: VAE, x: Tensor, posterior: Posterior, samples: int, seed: int
) -> tuple[Tensor, Tensor]:
    """KL(q(z|x) || p(z)) and -E[log p(x|z)] of each image: (N,) each, nats, float64.

    By `samples` draws from q(z|x); the rate in closed form where there is one.
    """
    noise = runtime.generator(seed, "evaluation", x.device)
    rate, distortion = torch.zeros((2, len(x)), dtype=torch.float64, device=x.device)
    chunk = 1000
    for done in trange(samples, desc="ELBO", unit="sample", disable=None, leave=False):
        for start in range(0, len(x), chunk):
            part = slice(start, start + chunk)
            mean, log_variance = posterior.mean[part], posterior.log_variance[part]
            draw = torch.randn(mean.shape, generator=noise, device=x.device)
            z = elbo.reparameterize(mean, log_variance, draw)
            distortion[part] -= model.pixels.log_px_z(model.decode(z), x[part])
            terms = model.prior.rate_terms(mean, log_variance, z)
            terms = terms.sum(-1, dtype=torch.float64)
            rate[part] += (terms - rate[part]) / (done + 1)  # a closed form stays what it is
    return rate, distortion / samples
