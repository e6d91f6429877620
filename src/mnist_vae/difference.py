"""Two recipes in pictures: where, and on which images, one is better than the other."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from mnist_vae.figure import BLUE, GREY, ORANGE, WIDTH, shortened, styled
from mnist_vae.images import DIGITS

MOVED = 10  # images shown at each end


@styled
def draw(
    per_image: np.ndarray,
    labels: np.ndarray | None,
    images: np.ndarray,
    names: tuple[str, str],
    classes: Sequence[str] = DIGITS.classes,
) -> Figure:
    """Differences of the ELBO (N,) by class (N,), and the images (N, 784) that moved most.

    Without labels, all images are one class without a name. Positive: the first of the
    two names is better. Nats per image.
    """
    one, other = names
    figure = Figure(figsize=(WIDTH, 5.6))
    grid = figure.add_gridspec(2, 1, height_ratios=(3, 2.6))
    upper, lower = (figure.add_subfigure(grid[row]) for row in range(2))
    axes = upper.subplots()
    kinds = np.zeros(len(per_image), np.uint8) if labels is None else labels
    present = np.unique(kinds)
    means = np.array([per_image[kinds == c].mean() for c in present])
    errors = np.array(
        [per_image[kinds == c].std() / max(1, (kinds == c).sum()) ** 0.5 for c in present]
    )
    colours = [BLUE if mean > 0 else ORANGE for mean in means]
    places = np.arange(len(present))
    axes.bar(places, means, yerr=2 * errors, color=colours, ecolor="black", capsize=3)
    axes.axhline(0, color=GREY, lw=1)
    axes.axhline(per_image.mean(), color="black", lw=1, ls="--", label="all images")
    axes.margins(y=0.3)
    axes.legend(loc="upper right", ncols=2)
    if labels is None:
        axes.set_xticks([])
        axes.set_xlabel("all images")
    else:
        step = -(-len(present) // 20)  # names that fit
        axes.set_xticks(places[::step], [shortened(classes[c], 8) for c in present[::step]])
        axes.set_xlabel("class")
    axes.set_ylabel("difference of the ELBO\n(nats per image)")
    by_class = "" if labels is None else ", by class"
    axes.set_title(f"Test ELBO of {one} less that of {other}{by_class} (bars: two standard errors)")
    order = np.argsort(per_image, kind="stable")
    side = math.isqrt(images.shape[1])
    rows = lower.subplots(2, 1)
    for row, ends, better in zip(
        rows, (order[::-1][:MOVED], order[:MOVED]), (one, other), strict=True
    ):
        strip = np.concatenate([images[index].reshape(side, side) for index in ends], axis=1)
        row.imshow(strip, cmap="gray_r", vmin=0, vmax=1)
        row.grid(False)
        row.set_yticks([])
        row.set_xticks(side * (np.arange(len(ends)) + 0.5) - 0.5)
        row.set_xticklabels([f"{per_image[index]:+.1f}" for index in ends])
        row.tick_params(length=0)
        row.set_title(f"Images on which {better} is better by most (nats)")
    return figure
