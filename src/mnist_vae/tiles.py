"""Figures made of decoded images: the grid over the latent space, prior samples, reconstructions.

Ink is dark on white; grey levels are pixel intensities or probabilities from 0 to 1.
"""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from mnist_vae.figure import GREY, WIDTH, shortened, styled, unit_name


@styled
def manifold(grid: np.ndarray, axis: np.ndarray, units: np.ndarray, latent_dim: int) -> Figure:
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
    title = f"Pixel probabilities decoded at {points} latent points"
    if latent_dim > 2:
        title += f";\nslice through the two most active units ({', '.join(names)}), all others 0"
    axes.set_title(title)
    return figure


@styled
def prior_samples(images: np.ndarray) -> Figure:
    """Images (P, 784) decoded from draws of the prior."""
    columns = 20
    rows = -(-len(images) // columns)
    grid = np.zeros((rows * columns, images.shape[1]))
    grid[: len(images)] = images
    figure = Figure(figsize=(WIDTH, 0.4 + 0.38 * rows))
    axes = figure.subplots()
    axes.imshow(_tile(grid.reshape(rows, columns, -1)), cmap="gray_r", vmin=0, vmax=1)
    axes.set_title(
        rf"Pixel probabilities decoded from the prior, $z \sim N(0, I)$; n = {len(images)}"
    )
    axes.axis("off")
    return figure


@styled
def reconstructions(
    originals: np.ndarray,
    decoded: np.ndarray,
    labels: np.ndarray,
    names: Sequence[str] = tuple("0123456789"),
) -> Figure:
    """Originals (M, 784), left, beside their reconstructions (M, 784), by class.

    There are ten columns: one for each of the first ten classes, several if there are fewer. With
    no names the labels (M,) are all 0, and nothing is said of classes.
    """
    side = math.isqrt(originals.shape[1])
    shown = names[:10] or ("",)
    each = 10 // len(shown)  # columns of a class
    rows = max(1, -(-int(np.bincount(labels).max()) // each))
    gap, wide = side // 2, 2 * side
    canvas = np.zeros((rows * side, len(shown) * each * (wide + gap) - gap))
    for kind in range(len(shown)):
        pairs = np.stack([originals[labels == kind], decoded[labels == kind]], axis=1)
        for column in range(each):
            some = pairs[column::each]
            left = (kind * each + column) * (wide + gap)
            canvas[: len(some) * side, left : left + wide] = _tile(some)
    above = 0.65 if max(map(len, shown)) < 2 else 0.75  # letters are higher than digits
    figure = Figure(figsize=(WIDTH, above + 0.32 * rows * (10 / (len(shown) * each))))
    axes = figure.subplots()
    axes.imshow(canvas, cmap="gray_r", vmin=0, vmax=1)
    for column in range(1, len(shown) * each):
        axes.axvline(column * (wide + gap) - gap / 2 - 0.5, color=GREY, linewidth=0.8)
    centres = [(kind + 0.5) * each * (wide + gap) - gap / 2 - 0.5 for kind in range(len(shown))]
    axes.set_xticks(centres, [shortened(name, 8 * each) for name in shown])
    axes.tick_params(top=False, labeltop=True, bottom=False, labelbottom=False)
    axes.set_yticks([])
    axes.set_frame_on(False)
    axes.grid(False)
    title = "Test images (left) and their reconstructions (right)"
    if names:
        title += ", by class" if len(names) <= 10 else f", of 10 of the {len(names)} classes"
    axes.set_title(title)
    return figure


def _tile(grid: np.ndarray) -> np.ndarray:
    """Images (rows, columns, 784) -> one image (rows * 28, columns * 28)."""
    rows, columns, pixels = grid.shape
    side = math.isqrt(pixels)
    return (
        grid.reshape(rows, columns, side, side).swapaxes(1, 2).reshape(rows * side, columns * side)
    )
