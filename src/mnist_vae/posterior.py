"""q(z|x) of many images, and what images lose on their way through it."""

from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import trange

from mnist_vae import elbo, runtime
from mnist_vae.model import VAE


@dataclass(frozen=True)
class Posterior:
    """q(z|x) of N images: mean and log-variance (N, L), KL of each unit (N, L), nats."""

    mean: Tensor
    log_variance: Tensor
    kl_per_unit: Tensor


@torch.no_grad()
def infer(model: VAE, x: Tensor, chunk: int = 1000) -> Posterior:
    """Encode x (N, 784)."""
    parts = [model.encode(images) for images in x.split(chunk)]
    mean, log_variance = (torch.cat(part) for part in zip(*parts, strict=True))
    return Posterior(mean, log_variance, elbo.kl_per_unit(mean, log_variance))


@torch.no_grad()
def distortion(model: VAE, x: Tensor, posterior: Posterior, samples: int, seed: int) -> Tensor:
    """-E[log p(x|z)] of each image by `samples` draws from q(z|x): (N,), nats, float64."""
    noise = runtime.generator(seed, "evaluation", x.device)
    total = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    chunk = 1000
    for _ in trange(samples, desc="ELBO", unit="sample", disable=None, leave=False):
        for start in range(0, len(x), chunk):
            part = slice(start, start + chunk)
            mean, log_variance = posterior.mean[part], posterior.log_variance[part]
            draw = torch.randn(mean.shape, generator=noise, device=x.device)
            logits = model.decode(elbo.reparameterize(mean, log_variance, draw))
            total[part] -= model.pixels.log_px_z(logits, x[part])
    return total / samples
