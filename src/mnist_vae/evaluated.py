"""What the evaluate stage left for figures: arrays, images as they are shown, and whose."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mnist_vae import images
from mnist_vae.arrays import read_arrays
from mnist_vae.errors import PipelineError
from mnist_vae.figure import minus
from mnist_vae.images import DIGITS, Look

ARRAYS = (
    "active",
    "elbo_per_image",
    "extreme_elbo",
    "extreme_reconstructions",
    "extremes",
    "interpolation_ends",
    "interpolations",
    "kl_per_unit",
    "labels",
    "latent_mean",
    "manifold",
    "manifold_axis",
    "manifold_quantiles",
    "manifold_units",
    "originals",
    "picture_labels",
    "prior_samples",
    "reconstructions",
    "traversal_axis",
    "traversal_units",
    "traversals",
)
OF_IMAGES = (
    "extreme_reconstructions",
    "extremes",
    "interpolation_ends",
    "interpolations",
    "manifold",
    "manifold_quantiles",
    "originals",
    "prior_samples",
    "reconstructions",
    "traversals",
)


def read(path: Path) -> tuple[dict[str, np.ndarray], Look]:
    """Read the arrays of the evaluate stage, and how their images look.

    Images come as `as_shown` gives them. Raises PipelineError if one is missing or not finite.
    """
    arrays, metadata = read_arrays(path)
    look = images.look(metadata)
    names = [name for name in ARRAYS if look.classes or name != "labels"]
    if missing := [name for name in names if name not in arrays]:
        raise PipelineError(f"{path} holds no {', '.join(missing)}; run `dvc repro evaluate`")
    if wrong := [name for name in names if not np.isfinite(arrays[name]).all()]:
        raise PipelineError(f"{path}: {', '.join(wrong)} not finite; run `dvc repro train`")
    return arrays | {name: as_shown(arrays[name], look) for name in OF_IMAGES}, look


def as_shown(values: np.ndarray, look: Look) -> np.ndarray:
    """Images (..., 784) for figures, in which 1 is black, 0 white, and one image meets the next.

    Those of which 1 is light are inverted, to look as in their files. MNIST's stay as they are;
    others, which may fill their frame, get a white line on the right and below.
    """
    if look == DIGITS:
        return values
    side = math.isqrt(values.shape[-1])
    square = (values if look.ink else 1 - values).reshape(*values.shape[:-1], side, side)
    line = (0, max(1, side // 16))
    framed = np.pad(square, [(0, 0)] * (values.ndim - 1) + [line, line])
    return framed.reshape(*values.shape[:-1], -1)


def caption(arrays: Mapping[str, np.ndarray]) -> str:
    """Which model a figure is of: beside those of others, it says what it can be told by."""
    values = arrays["elbo_per_image"].astype(np.float64)
    bound = math.fsum(values) / len(values)  # rounded once, whatever the processor
    units = arrays["latent_mean"].shape[1]
    return f"latent_dim {units}, test ELBO {minus(f'{bound:.2f}')} nats per image"
