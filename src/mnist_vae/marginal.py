"""The marginal log-likelihood log p(x): an importance-weighted bound and, for two units, the value.

Both stream over their samples or grid points in chunks, so that memory does not grow with their
number, and add up in float64.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from mnist_vae import elbo, runtime
from mnist_vae.model import VAE

ROWS = 6000  # decoder inputs at a time: 19 MB of logits, large enough for the matmul's full rate


@torch.no_grad()
def iwae(
    model: VAE, x: Tensor, mean: Tensor, log_variance: Tensor, samples: int, seed: int
) -> Tensor:
    """log 1/k sum_k p(x, z_k) / q(z_k|x) of each image, z_k ~ q(z|x): (N,), float64, nats.

    A lower bound of log p(x) in expectation, tight as k grows (Burda et al. 2015, theorem 1).
    x (N, 784); mean, log_variance (N, L).
    """
    noise = runtime.generator(seed, "iwae", x.device)
    together = max(1, min(samples, ROWS // 50))  # samples of one image that share a chunk
    chunk = max(1, ROWS // together)
    bounds = torch.empty(len(x), dtype=torch.float64, device=x.device)
    for start in tqdm(range(0, len(x), chunk), desc=f"IWAE-{samples}", unit="chunk", disable=None):
        part = slice(start, start + chunk)
        total = torch.full_like(bounds[part], -math.inf)
        for first in range(0, samples, together):
            count = min(together, samples - first)
            shape = (count, *mean[part].shape)
            z = elbo.reparameterize(
                mean[part],
                log_variance[part],
                torch.randn(shape, generator=noise, device=x.device),
            )
            log_weights = (
                elbo.log_px_z(model.decode(z), x[part])
                + elbo.log_standard_normal(z)
                - elbo.log_normal(z, mean[part], log_variance[part])
            )
            total = torch.logaddexp(total, torch.logsumexp(log_weights.double(), 0))
        bounds[part] = total - math.log(samples)
    return bounds


@dataclass(frozen=True)
class Quadrature:
    """log p(x) of N images (N,), and what its grid leaves out (nats, means over the images)."""

    log_px: Tensor
    truncation: float  # what doubling the outermost ring's weight would add: mass at the border
    resolution: float  # distance to the same sum over every second grid point


@torch.no_grad()
def quadrature(model: VAE, x: Tensor, points: int, extent: float) -> Quadrature:
    """log p(x) as the integral of p(x|z) p(z) over points^2 grid points in [-extent, extent]^2.

    For two latent units only. The integrand is smooth and vanishes at the border, where the plain
    Riemann sum converges faster than any power of the step; `resolution` and `truncation` check
    that it has. One matmul of (N, 784) with (784, points^2) does the work.
    """
    axis = torch.linspace(-extent, extent, points, device=x.device)
    index = torch.arange(points, device=x.device)
    border = (index == 0) | (index == points - 1)
    columns = max(1, ROWS // points)
    sums = {
        name: torch.full((len(x),), -math.inf, dtype=torch.float64, device=x.device)
        for name in ("all", "border", "coarse")
    }
    for first in tqdm(range(0, points, columns), desc="quadrature", unit="chunk", disable=None):
        inner = index[first : first + columns]
        z = torch.cartesian_prod(axis[inner], axis)
        on_border = (border[inner][:, None] | border).flatten()
        coarse = ((inner % 2 == 0)[:, None] & (index % 2 == 0)).flatten()
        logits = model.decode(z)
        constant = elbo.log_standard_normal(z) - elbo.softplus(logits).sum(-1)
        for start in range(0, len(x), 1000):
            part = slice(start, start + 1000)
            log_joint = torch.addmm(constant, x[part], logits.T)
            for name, mask in (("all", None), ("border", on_border), ("coarse", coarse)):
                chosen = log_joint if mask is None else log_joint[:, mask]
                if chosen.shape[1]:
                    added = torch.logsumexp(chosen, 1).double()
                    sums[name][part] = torch.logaddexp(sums[name][part], added)
    cell = 2 * math.log(2 * extent / (points - 1))
    log_px = sums["all"] + cell
    truncation = torch.logaddexp(sums["all"], sums["border"]) - sums["all"]
    resolution = (sums["coarse"] + 2 * math.log(2) - sums["all"]).abs()
    return Quadrature(log_px, truncation.mean().item(), resolution.mean().item())
