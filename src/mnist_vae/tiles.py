"""Figures made of decoded images: the grid over the latent space, prior samples, reconstructions.

Ink is dark on white; grey levels are pixel intensities or means from 0 to 1. `shown`: what a title
calls the means. normal: is the prior N(0, I)? Coordinates are then z itself, and otherwise in
standard deviations of a learned prior from its mean.
"""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mnist_vae.figure import FAINT, GREY, QUIET, WIDTH, minus, shortened, styled, unit_name

PROBABILITIES, MEANS = "Pixel probabilities", "Pixel means"  # the means of 0 and 1, of intensities


@styled
def manifold(
    grid: np.ndarray,
    axis: np.ndarray,
    units: np.ndarray,
    latent_dim: int,
    shown: str = PROBABILITIES,
    normal: bool = True,
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
    if not normal:
        title += ",\nin standard deviations of the learned prior from its mean"
    if latent_dim > 2:
        title += f";\nslice through {_varied(names, normal)}"
    axes.set_title(title)
    return figure


@styled
def manifold_quantiles(
    grid: np.ndarray, units: np.ndarray, latent_dim: int, normal: bool = True
) -> Figure:
    """As `manifold`, of images (rows, cols, 784) at quantiles of the prior, evenly spaced.

    Of a learned prior: of the Gaussian with its mean and variances.
    """
    rows, columns = grid.shape[:2]
    names = [unit_name(index) for index in units]
    figure = Figure(figsize=(WIDTH, 1.3 if rows == 1 else WIDTH))
    axes = figure.subplots()
    half = 50 / columns
    axes.imshow(
        _tile(grid),
        cmap="gray_r",
        vmin=0,
        vmax=1,
        extent=(0, 100, 50 - half, 50 + half) if rows == 1 else (0, 100, 0, 100),
    )
    axes.grid(False)
    percents = [5, 25, 50, 75, 95]
    labels = [f"{percent}%" for percent in percents]
    axes.set_xticks(percents, labels)
    of = "prior" if normal else "Gaussian"
    axes.set_xlabel(f"{names[0]}: quantile of the {of}")
    axes.set_yticks([] if rows == 1 else percents, [] if rows == 1 else labels)
    if rows > 1:
        axes.set_ylabel(f"{names[1]}: quantile of the {of}")
    title = "Decoded at quantiles of the prior"
    if not normal:
        title = "Decoded at quantiles of the Gaussian with\nthe learned prior's mean and variances"
    elif rows > 1:
        title += ": all are equally likely under it"
    if latent_dim > 2:
        title += f";\n{_varied(names, normal)}"
    axes.set_title(title)
    return figure


@styled
def interpolations(walks: np.ndarray, ends: np.ndarray) -> Figure:
    """Decoded images (R, S, 784) between test images (R, 2, 784), which stand at both sides."""
    rows, steps, pixels = walks.shape
    gap = math.isqrt(pixels) // 3
    parts = [ends[:, :1], walks, ends[:, 1:]]
    blank = np.zeros((rows * math.isqrt(pixels), gap))
    canvas = np.concatenate([piece for part in parts for piece in (blank, _tile(part))][1:], axis=1)
    figure = Figure(figsize=(WIDTH, 0.75 + 0.68 * rows))
    axes = figure.subplots()
    axes.imshow(canvas, cmap="gray_r", vmin=0, vmax=1)
    side = math.isqrt(pixels)
    for edge in (side + gap / 2, canvas.shape[1] - side - gap / 2):
        axes.axvline(edge - 0.5, color=GREY, linewidth=0.8)
    middle = side + gap + steps * side / 2
    places = [side / 2, middle, canvas.shape[1] - side / 2]
    names = ["test image", "decoded, from one code to the other in equal steps", "test image"]
    axes.set_xticks([place - 0.5 for place in places], names)
    _bare(axes)
    axes.set_title("Interpolations between the latent means of two test images")
    return figure


@styled
def traversals(
    walks: np.ndarray, axis: np.ndarray, units: np.ndarray, kl: np.ndarray, normal: bool = True
) -> Figure:
    """Decoded images (U, T, 784): a row for each of `units` (U,), moved along `axis` (T,).

    kl (L,): the mean KL of every unit, nats.
    """
    rows, columns, pixels = walks.shape
    side = math.isqrt(pixels)
    figure = Figure(figsize=(WIDTH, 0.75 + 0.54 * rows))
    axes = figure.subplots()
    axes.imshow(_tile(walks), cmap="gray_r", vmin=0, vmax=1)
    shown = range(0, columns, 2)
    axes.set_xticks([(i + 0.5) * side - 0.5 for i in shown], [minus(f"{axis[i]:g}") for i in shown])
    names = [f"{unit_name(index)} ({kl[index]:.2f} nats)" for index in units]
    axes.set_yticks([(i + 0.5) * side - 0.5 for i in range(rows)], names)
    axes.tick_params(length=0)
    axes.set_frame_on(False)
    axes.grid(False)
    place = "; all others 0" if normal else " from its mean; all others at it"
    axes.set_xlabel(f"value of the unit, in standard deviations of the prior{place}")
    which = f"the {rows} with the largest KL" if rows < len(kl) else "by their KL"
    axes.set_title(f"Traversals of latent units, {which}")
    return figure


def _varied(names: Sequence[str], normal: bool) -> str:
    """Which units a grid spans, of more than two."""
    others = "0" if normal else "at the prior's mean"
    return f"the two units whose means vary most ({', '.join(names)}), all others {others}"


def _bare(axes: Axes) -> None:
    """Labels on top and nothing else around the images."""
    axes.tick_params(top=False, labeltop=True, bottom=False, labelbottom=False)
    axes.set_yticks([])
    axes.set_frame_on(False)
    axes.grid(False)


@styled
def prior_samples(images: np.ndarray, shown: str = PROBABILITIES, components: int = 0) -> Figure:
    """Images (P, 784) decoded from draws of the prior, of so many components or N(0, I)."""
    columns = min(20, max(8, len(images)))
    rows = -(-len(images) // columns)
    grid = np.zeros((rows * columns, images.shape[1]))
    grid[: len(images)] = images
    figure = Figure(figsize=(WIDTH, 0.4 + 7.6 / columns * rows))
    axes = figure.subplots()
    axes.imshow(_tile(grid.reshape(rows, columns, -1)), cmap="gray_r", vmin=0, vmax=1)
    prior = f"a mixture of {components:,} Gaussians" if components else r"$z \sim N(0, I)$"
    axes.set_title(f"{shown} decoded from the prior, {prior}; n = {len(images)}")
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

    There are ten columns: one for each of the classes that are there, up to ten, several if there
    are fewer. With no names the labels (M,) are all 0, and nothing is said of classes.
    """
    side = math.isqrt(originals.shape[1])
    kinds = np.unique(labels)
    shown = [names[kind] for kind in kinds] if names else [""]
    each = 10 // len(shown)  # columns of a class
    rows = max(1, -(-int(np.bincount(labels).max()) // each))
    gap, wide = side // 2, 2 * side
    canvas = np.zeros((rows * side, len(shown) * each * (wide + gap) - gap))
    for place, kind in enumerate(kinds):
        pairs = np.stack([originals[labels == kind], decoded[labels == kind]], axis=1)
        for column in range(each):
            some = pairs[column::each]
            left = (place * each + column) * (wide + gap)
            canvas[: len(some) * side, left : left + wide] = _tile(some)
    above = 0.65 if max(map(len, shown)) < 2 else 0.75  # letters are higher than digits
    figure = Figure(figsize=(WIDTH, above + 0.32 * rows * (10 / (len(shown) * each))))
    axes = figure.subplots()
    axes.imshow(canvas, cmap="gray_r", vmin=0, vmax=1)
    for column in range(1, len(shown) * each):
        colour = GREY if each == 1 else QUIET if column % each == 0 else FAINT  # between classes
        axes.axvline(column * (wide + gap) - gap / 2 - 0.5, color=colour, linewidth=0.8)
    centres = [(place + 0.5) * each * (wide + gap) - gap / 2 - 0.5 for place in range(len(shown))]
    axes.set_xticks(centres, [shortened(name, 8 * each) for name in shown])
    axes.tick_params(top=False, labeltop=True, bottom=False, labelbottom=False)
    axes.set_yticks([])
    axes.set_frame_on(False)
    axes.grid(False)
    title = "Test images (left) and their reconstructions (right)"
    if names:
        few = len(shown) < len(names)
        title += f", of {len(shown)} of the {len(names)} classes" if few else ", by class"
    axes.set_title(title)
    return figure


def _tile(grid: np.ndarray) -> np.ndarray:
    """Images (rows, columns, 784) -> one image (rows * 28, columns * 28)."""
    rows, columns, pixels = grid.shape
    side = math.isqrt(pixels)
    tiles = grid.reshape(rows, columns, side, side).swapaxes(1, 2)
    return tiles.reshape(rows * side, columns * side)
