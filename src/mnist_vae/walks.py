"""Walks through the latent space, and the images at both ends of the ELBO: arrays for pictures."""

from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import torch
from torch import Tensor

from mnist_vae import runtime

Decode = Callable[[Tensor], Tensor]  # latent vectors (N, L) -> pixel means (N, P)
WALKS, STEPS = 6, 9  # interpolations, and images of each with both ends
UNITS = 10  # that are traversed, at most
FAR, HALVES = 3, 2  # a traversal goes so many of the prior's deviations out, in halves of one
EXTREMES = 8  # images at each end of the ELBO


def interpolations(
    decode: Decode, x: Tensor, labels: np.ndarray | None, mean: Tensor, seed: int
) -> dict[str, Tensor]:
    """Straight lines between the codes of two test images, of different classes if there are any.

    x (N, P), labels (N,), mean (N, L): E[z|x]. Images (R, S, P), and the originals (R, 2, P).
    """
    rest = torch.randperm(len(x), generator=runtime.generator(seed, "interpolations")).tolist()
    classes = [0] * len(x) if labels is None else labels.tolist()
    ends: list[list[int]] = []
    while len(rest) > 1 and len(ends) < WALKS:
        first = rest.pop(0)
        other = next((one for one in rest if classes[one] != classes[first]), rest[0])
        rest.remove(other)
        ends.append([first, other])
    chosen = torch.tensor(ends or [[0, 0]], device=x.device)
    part = (torch.arange(STEPS, device=x.device) / (STEPS - 1)).unsqueeze(-1)
    start, end = mean[chosen].unsqueeze(2).unbind(1)
    walks = (1 - part) * start + part * end  # three operations, each exactly rounded
    return {"interpolations": _decoded(decode, walks), "interpolation_ends": x[chosen]}


def traversals(decode: Decode, kl: Tensor) -> dict[str, Tensor]:
    """One unit after the other moved along the prior, all others at its mean: images (U, T, P).

    decode: of places in the prior's deviations from its mean, as in `quantiles` and `grid`.

    kl (L,): the mean KL of each unit; those with the largest, in their order.
    """
    units = kl.argsort(descending=True, stable=True)[:UNITS].cpu()
    axis = torch.arange(-FAR * HALVES, FAR * HALVES + 1) / HALVES
    walks = torch.zeros(len(units), len(axis), len(kl))
    walks[torch.arange(len(units)), :, units] = axis
    return {
        "traversals": _decoded(decode, walks.to(kl.device)),
        "traversal_axis": axis,
        "traversal_units": units.to(torch.int32),
    }


def quantiles(
    decode: Decode, units: Tensor, latent: int, size: int, device: torch.device
) -> Tensor:
    """As the grid of `manifold`, but at the prior's quantiles: images (size or 1, size, P).

    Under N(0, I) each image so stands for as much of the prior as any other. units: the grid's.
    """
    prior = NormalDist()
    # Six decimals: the C library's logarithm may round the last bit otherwise elsewhere.
    axis = torch.tensor([round(prior.inv_cdf((i + 0.5) / size), 6) for i in range(size)])
    return _decoded(decode, grid(axis, units, latent).to(device))


def grid(axis: Tensor, units: Tensor, latent: int) -> Tensor:
    """Places (rows, len(axis), latent), in the prior's deviations from its mean.

    The first unit grows to the right, the second up, all others are 0; of a single unit there is
    one row.
    """
    rows = axis.flip(0) if len(units) == 2 else torch.zeros(1)
    z = torch.zeros(len(rows), len(axis), latent)
    z[..., units[0]] = axis
    if len(units) == 2:
        z[..., units[1]] = rows[:, None]
    return z


def extremes(decode: Decode, x: Tensor, mean: Tensor, per_image: Tensor) -> dict[str, Tensor]:
    """The test images with the lowest ELBO, lowest first, then the highest, highest last.

    x (N, P), mean (N, L), per_image (N,). Originals and reconstructions (2, E, P).
    """
    order = per_image.argsort(stable=True)
    chosen = torch.stack([order[:EXTREMES], order[-EXTREMES:]])
    return {
        "extremes": x[chosen],
        "extreme_elbo": per_image[chosen],
        "extreme_reconstructions": _decoded(decode, mean[chosen]),
    }


def _decoded(decode: Decode, z: Tensor) -> Tensor:
    """Latent vectors (A, B, L) -> images (A, B, P)."""
    images = decode(z.flatten(0, 1))
    return images.view(*z.shape[:2], images.shape[1])
