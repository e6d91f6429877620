"""Figures made of decoded images: the grid over the latent space, prior samples, reconstructions.

Ink is dark on white; grey levels are pixel intensities or means from 0 to 1. `shown`: what a title
calls the means.
"""

import numpy as np
from matplotlib.figure import Figure

from mnist_vae.figure import GREY, WIDTH, styled, unit_name
from mnist_vae.images import SIDE

PROBABILITIES, MEANS = "Pixel probabilities", "Pixel means"  # the means of 0 and 1, of intensities


@styled
def manifold(
    grid: np.ndarray,
    axis: np.ndarray,
    units: np.ndarray,
    latent_dim: int,
    shown: str = PROBABILITIES,
) -> Figure:
    """Decoded images (rows, cols, 784) at the latent coordinates `axis` (cols,).

    The first of `units` grows to the right, the second upwards; with one unit, there is one row.
    """
    rows, columns = grid.shape[:2]
    half = (axis[-1] - axis[0]) / (columns - 1) / 2
    height = half if rows == 1 else axis[-1] + half
    figure = Figure(figsize=(WIDTH, 1.1 if rows == 1 else WIDTH))
    axes = figure.subplots()
    extent = (axis[0] - half, axis[-1] + half, -height, height)
    axes.imshow(_tile(grid), cmap="gray_r", vmin=0, vmax=1, extent=extent)
    axes.grid(False)
    names = [unit_name(index) for index in units]
    axes.set_xlabel(names[0])
    if rows == 1:
        axes.set_yticks([])
    else:
        axes.set_ylabel(names[1])
    points = f"{columns}" if rows == 1 else f"a grid of {columns} x {rows}"
    title = f"{shown} decoded at {points} latent points"
    if latent_dim > 2:
        title += f";\nslice through the two most active units ({', '.join(names)}), all others 0"
    axes.set_title(title)
    return figure


@styled
def prior_samples(images: np.ndarray, shown: str = PROBABILITIES) -> Figure:
    """Images (P, 784) decoded from draws of the prior."""
    columns = 20
    rows = -(-len(images) // columns)
    grid = np.zeros((rows * columns, images.shape[1]))
    grid[: len(images)] = images
    figure = Figure(figsize=(WIDTH, 0.4 + 0.38 * rows))
    axes = figure.subplots()
    axes.imshow(_tile(grid.reshape(rows, columns, -1)), cmap="gray_r", vmin=0, vmax=1)
    axes.set_title(rf"{shown} decoded from the prior, $z \sim N(0, I)$; n = {len(images)}")
    axes.axis("off")
    return figure


@styled
def reconstructions(originals: np.ndarray, decoded: np.ndarray, labels: np.ndarray) -> Figure:
    """Originals (M, 784), left, beside their reconstructions (M, 784), in one column per class."""
    rows = int(np.bincount(labels, minlength=10).max())
    gap, wide = SIDE // 2, 2 * SIDE
    canvas = np.zeros((rows * SIDE, 10 * (wide + gap) - gap))
    for digit in range(10):
        pairs = np.stack([originals[labels == digit], decoded[labels == digit]], axis=1)
        left = digit * (wide + gap)
        canvas[: len(pairs) * SIDE, left : left + wide] = _tile(pairs)
    figure = Figure(figsize=(WIDTH, 0.65 + 0.32 * rows))
    axes = figure.subplots()
    axes.imshow(canvas, cmap="gray_r", vmin=0, vmax=1)
    for digit in range(1, 10):
        axes.axvline(digit * (wide + gap) - gap / 2 - 0.5, color=GREY, linewidth=0.8)
    axes.set_xticks([digit * (wide + gap) + SIDE - 0.5 for digit in range(10)], "0123456789")
    axes.tick_params(top=False, labeltop=True, bottom=False, labelbottom=False)
    axes.set_yticks([])
    axes.set_frame_on(False)
    axes.grid(False)
    axes.set_title("Test images (left) and their reconstructions (right), by class")
    return figure


def _tile(grid: np.ndarray) -> np.ndarray:
    """Images (rows, columns, 784) -> one image (rows * 28, columns * 28)."""
    rows, columns, _ = grid.shape
    pixels = grid.reshape(rows, columns, SIDE, SIDE).swapaxes(1, 2)
    return pixels.reshape(rows * SIDE, columns * SIDE)
