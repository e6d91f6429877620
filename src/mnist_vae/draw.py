"""What a trained model makes: images of the prior, of a place, between two images, of one."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from mnist_vae import dataset, runtime, tiles
from mnist_vae import posterior as posteriors
from mnist_vae.errors import PipelineError
from mnist_vae.evaluated import as_shown
from mnist_vae.figure import WIDTH, minus, shortened, styled
from mnist_vae.images import DIGITS, Look
from mnist_vae.model import VAE
from mnist_vae.pixels import BERNOULLI

COORDINATES = 6  # that a title has room for


@torch.no_grad()
def sample(model: VAE, count: int, seed: int, look: Look = DIGITS) -> Figure:
    """Images decoded from `count` draws of the prior; the first are those of the plots stage."""
    z = model.prior.sample(count, seed)
    shown = tiles.PROBABILITIES if model.pixels is BERNOULLI else tiles.MEANS
    images = as_shown(model.means(z).numpy(), look)
    return tiles.prior_samples(images, shown, model.params.prior_components)


@torch.no_grad()
def decode(model: VAE, z: Sequence[float], look: Look = DIGITS) -> Figure:
    """The image at latent coordinates z (L,); PipelineError if they are not as many as units."""
    units = model.params.latent_dim
    if len(z) != units:
        raise PipelineError(
            f"{len(z)} latent coordinate{'s' * (len(z) != 1)} given, but this model has {units}"
        )
    if not np.isfinite(z).all():
        raise PipelineError(f"a latent coordinate is not finite: {z}")
    place = (
        minus(f"({', '.join(f'{value:g}' for value in z)})") if units <= COORDINATES else "as given"
    )
    image = as_shown(model.means(torch.tensor([z])).numpy(), look)
    return strip(image, [""], f"Decoded at $z$ = {place}")


def choose(
    count: int,
    labels: np.ndarray | None,
    classes: Sequence[str] | None,
    seed: int,
    look: Look = DIGITS,
) -> tuple[int, int]:
    """Two of `count` images with these labels (N,), by chance: one of each class, or any two.

    Raises PipelineError if there is no such class, or no image of it.
    """
    draws = runtime.generator(seed, "interpolate")
    order = torch.randperm(count, generator=draws).numpy()
    if classes is None:
        return int(order[0]), int(order[1])
    if labels is None:
        raise PipelineError("the images have no classes; name two test images instead")
    found = []
    for wanted in classes:
        if wanted not in look.classes:
            raise PipelineError(f"there is no class {wanted}; there are {', '.join(look.classes)}")
        kind = look.classes.index(wanted)
        of_class = [int(index) for index in order if labels[index] == kind and index not in found]
        if not of_class:
            raise PipelineError(f"the test set has no image of class {wanted}")
        found.append(of_class[0])
    return found[0], found[1]


@torch.no_grad()
def interpolate(
    model: VAE, ends: Tensor, steps: int, names: tuple[str, str], look: Look = DIGITS
) -> Figure:
    """Images decoded at equal steps from one latent mean to another: ends (2, 784)."""
    first, last = model.encode(ends)[0]
    ways = torch.linspace(0, 1, steps)
    decoded = model.means(torch.lerp(first, last, ways[:, None]))
    images = as_shown(torch.cat([ends[:1], decoded, ends[1:]]).numpy(), look)
    captions = ["image", *(f"{way:.2f}" for way in ways.tolist()), "image"]
    first_name, last_name = (shortened(name, 40) for name in names)
    title = f"From {first_name} to {last_name}, in a line between latent means"
    return strip(images, captions, title)


@dataclass(frozen=True)
class Encoded:
    """q(z|x) of one image, its units (L,), and its ELBO = -(rate + distortion), nats.

    kl: as in `posterior.Posterior`, which adds up to the rate if the prior is N(0, I).
    """

    mean: np.ndarray
    deviation: np.ndarray
    kl: np.ndarray
    elbo: float
    rate: float
    distortion: float
    figure: Figure


@torch.no_grad()
def encode(
    model: VAE,
    intensities: Tensor,
    likelihood: str,
    samples: int,
    seed: int,
    look: Look = DIGITS,
) -> Encoded:
    """What the model makes of one image, intensities (784,) in [0, 1], and a picture of both.

    samples: draws from q(z|x) for rate and distortion. Under the binarized protocol the image is
    drawn to black and white first.
    """
    x = intensities[None]
    if likelihood == "binarized":
        x = dataset.draw(x, runtime.generator(seed, "encode"))
    posterior = posteriors.infer(model, x)
    both = posteriors.rate_and_distortion(model, x, posterior, samples, seed)
    rate, distortion = (value.item() for value in both)
    elbo = -(rate + distortion)
    images = as_shown(torch.cat([x, model(x)]).numpy(), look)
    return Encoded(
        posterior.mean[0].numpy(),
        torch.exp(0.5 * posterior.log_variance[0]).numpy(),
        posterior.kl_per_unit[0].numpy(),
        elbo,
        rate,
        distortion,
        strip(images, ["image", "reconstruction"], minus(f"ELBO {elbo:.1f} nats ({likelihood})")),
    )


@styled
def strip(images: np.ndarray, captions: Sequence[str], title: str) -> Figure:
    """Images (M, 784) in a row, each with its caption."""
    count = len(images)
    width = WIDTH if count > 2 else 4.0
    figure = Figure(figsize=(width, 0.75 + min(2.0, width / count)))
    axes = figure.subplots()
    side = math.isqrt(images.shape[1])
    row = images.reshape(count, side, side).swapaxes(0, 1).reshape(side, count * side)
    axes.imshow(row, cmap="gray_r", vmin=0, vmax=1)
    axes.set_xticks(side * (np.arange(count) + 0.5) - 0.5, captions)
    axes.tick_params(length=0, labelsize=8 if count > 12 else 10)
    axes.set_yticks([])
    axes.set_frame_on(False)
    axes.grid(False)
    axes.set_title(title)
    return figure
