"""How single test images fare: their ELBO, best and worst, and the classes that are mistaken."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mnist_vae.figure import BLUE, ORANGE, WIDTH, bins, minus, shortened, styled

NO_LABELS = "the images have no labels"
ONE_CLASS = "all training images are of one class"


@styled
def elbo(
    per_image: np.ndarray, extremes: np.ndarray, decoded: np.ndarray, values: np.ndarray
) -> Figure:
    """Distribution of the ELBO of N images (N,), and those at its ends, with reconstructions.

    extremes, decoded (2, E, 784) and their ELBO, values (2, E), nats: the lowest, then the highest.
    """
    figure = Figure(figsize=(WIDTH, 6.4))
    parts = figure.add_gridspec(2, 1, height_ratios=(2.6, 3.6))
    upper, lower = (figure.add_subfigure(parts[row]) for row in range(2))
    axes = upper.subplots()
    points = per_image.astype(np.float64)
    axes.hist(points, bins(len(points), 80), color=BLUE)
    axes.yaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))
    mean, median = math.fsum(points) / len(points), float(np.median(points))
    axes.axvline(mean, color="black", linewidth=1.2, label=minus(f"mean {mean:.2f}"))
    axes.axvline(
        median, color=ORANGE, linewidth=1.2, linestyle="--", label=minus(f"median {median:.2f}")
    )
    axes.legend(loc="upper left")
    axes.set_xlabel("ELBO, nats per image")
    axes.set_ylabel("test images")
    axes.set_title(f"ELBO of each of {len(points):,} test images")
    ends = lower.subplots(2, 1)
    for row, end, name in zip(ends, range(2), ("lowest", "highest"), strict=True):
        _strip(row, extremes[end], decoded[end], values[end])
        row.set_title(f"{len(values[end])} test images with the {name} ELBO, and reconstructions")
    return figure


def _strip(axes: Axes, images: np.ndarray, decoded: np.ndarray, values: np.ndarray) -> None:
    """Images (E, 784) over their reconstructions (E, 784), with their ELBO (E,)."""
    side = math.isqrt(images.shape[1])
    rows = [
        np.concatenate([image.reshape(side, side) for image in strip], axis=1)
        for strip in (images, decoded)
    ]
    axes.imshow(np.concatenate(rows), cmap="gray_r", vmin=0, vmax=1)
    axes.set_xticks(
        [(i + 0.5) * side - 0.5 for i in range(len(values))],
        [minus(f"{value:.1f}") for value in values],
    )
    axes.set_yticks([])
    axes.tick_params(length=0)
    axes.set_frame_on(False)
    axes.grid(False)


@styled
def confusion(
    labels: np.ndarray | None,
    predicted: np.ndarray | None,
    names: Sequence[str] = tuple("0123456789"),
) -> Figure:
    """How often images of a class (N,) are taken for another (N,) by their latent neighbours."""
    figure = Figure(figsize=(WIDTH, 6.2))
    axes = figure.subplots()
    title = "Nearest neighbours among the latent means"
    if labels is None or predicted is None:
        axes.text(0.5, 0.5, NO_LABELS if labels is None else ONE_CLASS, ha="center", va="center")
        axes.axis("off")
        axes.set_title(title)
        return figure
    count = max(len(names), int(labels.max()) + 1, int(predicted.max()) + 1)
    places = labels.astype(np.int64) * count + predicted
    table = np.bincount(places, minlength=count**2).reshape(count, count)
    share = table / np.maximum(table.sum(1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    size = min(9.0, 110 / count)
    for (row, column), images in np.ndenumerate(table):
        if images and count <= 30:
            colour = "white" if share[row, column] > 0.5 else "black"
            axes.text(column, row, f"{images:,}", ha="center", va="center", color=colour, size=size)
    step = -(-count // 40)  # names that fit
    ticks = [*names, *map(str, range(len(names), count))][::step]
    short = [shortened(name, 10) for name in ticks]
    upright = max(map(len, short)) > 3
    axes.set_xticks(range(0, count, step), short, rotation=90 if upright else 0)
    axes.set_yticks(range(0, count, step), short)
    axes.grid(False)
    axes.set_xlabel("class that most neighbours have")
    axes.set_ylabel("class of the test image")
    right = int(np.trace(table))
    axes.set_title(
        f"{title}:\n{right:,} of {len(labels):,} test images in their class "
        f"({right / len(labels):.1%})"
    )
    figure.colorbar(axes.images[0], label="share of the class")
    return figure
