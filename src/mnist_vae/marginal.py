"""The marginal log-likelihood log p(x): an importance-weighted bound and, for two units, the value.

Both stream over their samples or grid points in chunks, so that memory hardly grows with their
number, and add up in float64. Nearly all of their time goes into the decoder's matmuls.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor
from tqdm import tqdm, trange

from mnist_vae import linear, runtime
from mnist_vae.model import VAE

# Decoder inputs at a time: on a CPU few enough for its cache to keep their logits (3.2 MB) until
# they are used up, on a GPU enough to fill it (100 MB of logits).
ROWS = {"cpu": 1000, "cuda": 32_768}


@torch.no_grad()
def iwae(
    model: VAE, x: Tensor, mean: Tensor, log_variance: Tensor, samples: int, seed: int
) -> Tensor:
    """log 1/k sum_k p(x, z_k) / q(z_k|x) of each image, z_k ~ q(z|x): (N,), float64, nats.

    A lower bound of log p(x) in expectation, tight as k grows (Burda et al. 2015, theorem 1).
    x (N, 784); mean, log_variance (N, L).
    """
    generator = runtime.generator(seed, "iwae", x.device)
    rows = ROWS[x.device.type]
    bounds = torch.full((len(x),), -math.inf, dtype=torch.float64, device=x.device)
    log_variances = log_variance.sum(-1)
    deviation = torch.exp(0.5 * log_variance)
    for image in trange(len(x), desc=f"IWAE-{samples}", unit="image", disable=None, leave=False):
        for first in range(0, samples, rows):
            shape = (min(rows, samples - first), mean.shape[1])
            noise = torch.randn(shape, generator=generator, device=x.device)
            z = torch.addcmul(mean[image], deviation[image], noise)
            log_weights = model.pixels.log_px_z_(model.decode(z), x[image]).double()
            # log p(z) - log q(z|x), where (z - mean) / deviation is the noise
            squares = noise.square_().sum(-1) - model.prior.energy_(z)
            log_weights += 0.5 * (squares + log_variances[image])
            bounds[image] = torch.logaddexp(bounds[image], torch.logsumexp(log_weights, 0))
    return bounds - math.log(samples)


@dataclass(frozen=True)
class Quadrature:
    """log p(x) of N images (N,), and what its grid lacks (nats, means over the images)."""

    log_px: Tensor
    truncation: float  # what lies beyond the grid, as far as half its extent further out
    resolution: float  # distance to the same sum over every second grid point


@torch.no_grad()
def quadrature(model: VAE, x: Tensor, points: int, extent: float) -> Quadrature:
    """log p(x) as the integral of p(x|z) p(z) over points^2 grid points.

    For two latent units only. The grid is [-extent, extent]^2 in the prior's standard deviations
    from its mean. The integrand is smooth and vanishes at the border, where the plain
    Riemann sum converges faster than any power of the step; `resolution` and `truncation` check
    that it has, the latter by a coarse sum over the square's surroundings. One matmul of (N, 784)
    with (784, points^2) does the work: log p(x|z) = log p(c|z) + (x - c) logits, where c is black
    or white, whichever a pixel mostly is. A light ground would lose the digits of its large logits.
    """
    rows = ROWS[x.device.type]
    outside, cells = surroundings(points, extent)
    chunks = math.ceil(points**2 / rows) + math.ceil(len(outside) / rows)
    sums = torch.full((len(x), 3), -math.inf, dtype=torch.float64, device=x.device)
    grid = chain(
        _inside(points, extent, x.device),
        ((z, z.new_tensor([0.0, 0.0, cells]).expand(len(z), 3)) for z in outside.to(x).split(rows)),
    )
    mean, deviation = model.prior.moments(x.device)
    ground = (x.sum(0, dtype=torch.float64) > len(x) / 2).to(x)
    apart = x - ground
    bar = tqdm(grid, desc="quadrature", total=chunks, unit="chunk", disable=None, leave=False)
    for steps, counts in bar:
        z = mean + deviation * steps
        logits = model.decode(z)
        constant = model.prior.log_density(z) + model.pixels.log_px_z(logits, ground)
        for start in range(0, len(x), rows):
            part = slice(start, start + rows)
            log_joint = linear.affine(apart[part], logits, constant)
            highest = log_joint.amax(1, keepdim=True)
            added = log_joint.sub_(highest).exp_() @ counts
            sums[part] = torch.logaddexp(sums[part], added.double().log() + highest)
    # The size of a cell, in z.
    sums += 2 * math.log(2 * extent / (points - 1)) + deviation.double().log().sum()
    log_px, coarse, beyond = sums.unbind(1)
    truncation = torch.logaddexp(log_px, beyond) - log_px
    resolution = (coarse - log_px).abs()
    return Quadrature(log_px, *(math.fsum(of.tolist()) / len(x) for of in (truncation, resolution)))


def surroundings(points: int, extent: float) -> tuple[Tensor, float]:
    """Points (P, 2) around the square, and the grid's cells that each stands for, at most 16."""
    count = 6 * math.ceil((points - 1) / 16)  # a multiple of 6: none stands astride the border
    axis = 1.5 * extent * (torch.arange(0.5, count) / count * 2 - 1)
    z = torch.cartesian_prod(axis, axis)
    return z[z.abs().amax(1) > extent], (1.5 * (points - 1) / count) ** 2


def _inside(points: int, extent: float, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """The grid's points (P, 2) in chunks, and for how many of its cells each counts (P, 3).

    In three sums: over all points, over every second one of both axes, over the surroundings.
    """
    rows = ROWS[device.type]
    axis = torch.linspace(-extent, extent, points, device=device)
    for first in range(0, points**2, rows):
        index = torch.arange(first, min(first + rows, points**2), device=device)
        i, j = index // points, index % points
        coarse = 4.0 * ((i % 2 == 0) & (j % 2 == 0))
        every = torch.ones_like(coarse)
        yield torch.stack([axis[i], axis[j]], 1), torch.stack([every, coarse, 0 * every], 1)
