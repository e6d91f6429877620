"""Figures of the latent space and of training, and the reading of the arrays that figures show."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle
from matplotlib.ticker import MaxNLocator

from mnist_vae import images
from mnist_vae.arrays import read_arrays
from mnist_vae.errors import PipelineError
from mnist_vae.figure import (
    BLUE,
    GREY,
    ORANGE,
    PALETTE,
    WIDTH,
    apart,
    minus,
    shortened,
    styled,
    unit_name,
)
from mnist_vae.history import COLUMNS, Row
from mnist_vae.images import DIGITS, Look
from mnist_vae.per_image import confusion, elbo
from mnist_vae.tiles import (
    MEANS,
    PROBABILITIES,
    interpolations,
    manifold,
    manifold_quantiles,
    prior_samples,
    reconstructions,
    traversals,
)

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
TERMS = ("elbo", "rate", "distortion")


@dataclass(frozen=True)
class PlotParams:
    """Resolution of the PNG files, pixels per inch."""

    plot_dpi: int


def read_evaluation(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of the evaluate stage; PipelineError if one is missing or not finite.

    Images come as `as_shown` gives them.
    """
    arrays, metadata = read_arrays(path)
    look = images.look(metadata)
    names = [name for name in ARRAYS if look.classes or name != "labels"]
    if missing := [name for name in names if name not in arrays]:
        raise PipelineError(f"{path} holds no {', '.join(missing)}; run `dvc repro evaluate`")
    if wrong := [name for name in names if not np.isfinite(arrays[name]).all()]:
        raise PipelineError(f"{path}: {', '.join(wrong)} not finite; run `dvc repro train`")
    return arrays | {name: as_shown(arrays[name], look) for name in OF_IMAGES}


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


def read_classes(path: Path) -> tuple[str, ...]:
    """The names of the classes in that file; none if there are no labels."""
    return images.look(read_arrays(path)[1]).classes


def draw(
    epochs: Sequence[Row],
    arrays: Mapping[str, np.ndarray],
    classes: Sequence[str] = DIGITS.classes,
    continuous: bool = False,
) -> dict[str, Figure]:
    """All figures but the diagrams by name, from `history.read` and `read_evaluation`.

    continuous: is p(x|z) a continuous Bernoulli? Its means are no probabilities.
    """
    mean, shown = arrays["latent_mean"], MEANS if continuous else PROBABILITIES
    return {
        "confusion": confusion(arrays.get("labels"), arrays.get("knn_predicted"), classes),
        "elbo_per_image": elbo(
            arrays["elbo_per_image"],
            arrays["extremes"],
            arrays["extreme_reconstructions"],
            arrays["extreme_elbo"],
        ),
        "interpolations": interpolations(arrays["interpolations"], arrays["interpolation_ends"]),
        "latent": latent(mean, arrays.get("labels"), classes),
        "latent_units": latent_units(arrays["kl_per_unit"], arrays["active"]),
        "manifold": manifold(
            arrays["manifold"],
            arrays["manifold_axis"],
            arrays["manifold_units"],
            mean.shape[1],
            shown,
        ),
        "manifold_quantiles": manifold_quantiles(
            arrays["manifold_quantiles"], arrays["manifold_units"], mean.shape[1]
        ),
        "prior_samples": prior_samples(arrays["prior_samples"], shown),
        "reconstructions": reconstructions(
            arrays["originals"], arrays["reconstructions"], arrays["picture_labels"], classes
        ),
        "training": training(epochs),
        "traversals": traversals(
            arrays["traversals"],
            arrays["traversal_axis"],
            arrays["traversal_units"],
            arrays["kl_per_unit"],
        ),
    }


def caption(arrays: Mapping[str, np.ndarray]) -> str:
    """Which model a figure is of: beside those of others, it says what it can be told by."""
    values = arrays["elbo_per_image"].astype(np.float64)
    bound = math.fsum(values) / len(values)  # rounded once, whatever the processor
    units = arrays["latent_mean"].shape[1]
    return f"latent_dim {units}, test ELBO {minus(f'{bound:.2f}')} nats per image"


@styled
def latent(
    mean: np.ndarray, labels: np.ndarray | None, classes: Sequence[str] = DIGITS.classes
) -> Figure:
    """E[z|x] of N images, coloured by class: mean (N, L), labels (N,), the names of the classes.

    Of more than ten classes, some share a colour, and the names stand in the picture alone.
    One unit: a histogram per class. Two: as they are. More: the two principal components.
    """
    count, units = mean.shape
    figure = Figure(figsize=(WIDTH, 6.8))
    axes = figure.subplots()
    dimensions = f"{units} latent unit{'s' if units > 1 else ''}"
    by_class = "" if labels is None else ", by class"
    axes.set_title(f"Latent means of {count:,} test images{by_class}; {dimensions}")
    if units == 1:
        _histograms(axes, mean[:, 0], labels, classes)
        return figure
    points = mean.astype(np.float64)
    names = [f"{unit_name(index)} (latent mean)" for index in range(2)]
    if units > 2:
        points, share = principal_components(points)
        names = [f"principal component {i + 1} ({share[i]:.1%} of variance)" for i in range(2)]
    else:
        radius = math.sqrt(-2 * math.log(0.05))  # holds 95% of a two-dimensional N(0, I)
        axes.add_patch(Circle((0, 0), radius, fill=False, color="black", linestyle=":"))
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    kinds = np.zeros(count, np.uint8) if labels is None else labels
    colours: str | np.ndarray = BLUE if labels is None else np.array(PALETTE)[kinds % len(PALETTE)]
    axes.scatter(points[:, 0], points[:, 1], s=5, c=colours, alpha=0.55, linewidths=0)
    present = np.unique(kinds)
    centres = np.array([np.median(points[kinds == kind], axis=0) for kind in present])
    if (
        labels is None or np.ptp(centres, axis=0).max() < 0.1
    ):  # a collapsed posterior: names would hide each other
        present = present[:0]
    labels_at = apart(centres, 0.045 * np.ptp(points, axis=0).max())
    size = 15 if max(map(len, classes), default=1) == 1 else 9
    for kind, (x, y) in zip(present, labels_at, strict=False):
        text = shortened(classes[kind], 16)
        name = axes.text(x, y, text, ha="center", va="center", weight="bold", size=size)
        name.set_path_effects([patheffects.withStroke(linewidth=3, foreground="white")])
    axes.set_aspect("equal", adjustable="datalim")
    handles = [
        Line2D([], [], color=colour, marker="o", linestyle="", label=shortened(name, 16))
        for name, colour in zip(classes, PALETTE, strict=False)
        if len(classes) <= len(PALETTE)
    ]
    if units == 2:
        handles.append(Line2D([], [], color="black", linestyle=":", label="95% of\nthe prior"))
    title = "class" if 0 < len(classes) <= len(PALETTE) else None
    axes.legend(handles=handles, title=title, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def principal_components(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Project points (N, L) on the two directions of largest variance.

    Returns (N, 2) and the two shares of the variance; the largest entry of each direction is
    positive, since the sign of a singular vector means nothing.
    """
    centred = points - points.mean(0)
    _, singular, directions = np.linalg.svd(centred.T @ centred)
    axes = directions[:2]
    axes = axes * np.where(axes[np.arange(2), np.abs(axes).argmax(1)] < 0, -1, 1)[:, None]
    return centred @ axes.T, singular[:2] / max(singular.sum(), np.finfo(float).tiny)


@styled
def training(rows: Sequence[Row]) -> Figure:
    """-ELBO, rate, distortion (nats per image) and learning rate against the epoch."""
    figure = Figure(figsize=(WIDTH, 5.6))
    panels = list(figure.subplots(2, 2, sharex=True).flat)
    history = pd.DataFrame(rows, columns=COLUMNS)  # NaN where there is no validation set
    epochs = history["epoch"]
    names = (
        r"$-$ELBO = rate + distortion",
        r"Rate, KL$(q(z|x)\,\|\,p(z))$",
        r"Distortion, $-\mathrm{E}[\log p(x|z)]$",
    )
    for axes, term, name in zip(panels, TERMS, names, strict=False):
        for split, colour in (("train", BLUE), ("validation", ORANGE)):
            values = history[f"{split}_{term}"] * (-1 if term == "elbo" else 1)
            if values.notna().any():
                label = f"{split}: {values.iloc[-1]:.2f} at the end"
                axes.plot(epochs, values, ".-", color=colour, label=label)
        axes.set_title(name)
        axes.set_ylabel("nats per image")
        axes.legend()
    panels[3].plot(epochs, history["learning_rate"], ".-", color="black")
    panels[3].set_title("Learning rate in the middle of the epoch")
    for axes in panels[2:]:
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(epochs) == 1:
        panels[0].set_xlim(epochs[0] - 1, epochs[0] + 1)
    low, high = history["beta"].min(), history["beta"].max()
    beta = f"{high:g}" if low == high else f"{low:.3g} to {high:.3g}"
    figure.suptitle(
        f"Trained at β = {beta}, shown at β = 1; train is the mean over the running epoch"
    )
    return figure


@styled
def latent_units(kl: np.ndarray, active: np.ndarray) -> Figure:
    """Mean KL of each unit, nats (L,), largest first; the active units (L,) are marked."""
    order = by_kl(kl)
    ranks = np.arange(1, len(kl) + 1)
    marked = active[order].astype(bool)
    figure = Figure(figsize=(WIDTH, 3.6))
    axes = figure.subplots()
    for chosen, colour, name in ((marked, BLUE, "active"), (~marked, GREY, "not active")):
        if chosen.any():
            label = f"{name} ({chosen.sum()})"
            axes.bar(ranks[chosen], kl[order][chosen], color=colour, label=label)
    axes.set_title(
        f"Active latent units: {marked.sum()} of {len(kl)} (as in Burda et al. 2015); "
        f"KL of all units: {kl.sum():.2f} nats"
    )
    axes.set_ylabel("KL$(q(z|x)\\,\\|\\,p(z))$, nats,\nmean over the test images")
    middle, half = ranks.mean(), max(len(kl), 6) / 2 + 0.2
    axes.set_xlim(middle - half, middle + half)
    axes.grid(axis="x", visible=False)
    if len(kl) <= 32:
        axes.set_xticks(ranks, [unit_name(index) for index in order])
        axes.set_xlabel("latent unit")
    else:
        axes.set_xlabel("rank of the latent unit")
    axes.legend()
    return figure


def by_kl(kl: np.ndarray) -> np.ndarray:
    """Indices of the units (L,), largest KL first; ties in their own order."""
    return np.argsort(-kl, kind="stable")


def unit_table(kl: np.ndarray, active: np.ndarray) -> str:
    """CSV of the bar chart, `unit` counted from 1: unit,kl,active."""
    order = by_kl(kl)
    lines = [f"{index + 1},{kl[index]:.9g},{int(active[index])}\n" for index in order]
    return "unit,kl,active\n" + "".join(lines)


def _histograms(
    axes: Axes, values: np.ndarray, labels: np.ndarray | None, classes: Sequence[str]
) -> None:
    """One histogram (values (N,), labels (N,)) per class, each scaled to its own peak."""
    edges = np.histogram_bin_edges(values.astype(np.float64), 100)
    if labels is None:
        axes.stairs(np.histogram(values, edges)[0], edges, fill=True, color=BLUE)
        axes.set_ylabel("images")
    else:
        for kind in range(len(classes)):
            heights, _ = np.histogram(values[labels == kind], edges)
            heights = 0.9 * heights / max(heights.max(), 1)
            colour = PALETTE[kind % len(PALETTE)]
            axes.stairs(heights + kind, edges, baseline=kind, fill=True, color=colour)
        step = -(-len(classes) // 40)  # names that fit
        names = [shortened(name, 16) for name in classes[::step]]
        axes.set_yticks(range(0, len(classes), step), names)
        axes.set_ylabel("class")
    axes.set_xlabel(f"{unit_name(0)} (latent mean)")
