"""Figures of the latent space: where the test images lie in it, what each unit tells."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle

from mnist_vae.figure import BLUE, GREY, PALETTE, WIDTH, apart, bins, shortened, styled, unit_name
from mnist_vae.images import DIGITS


@styled
def latent(
    mean: np.ndarray,
    labels: np.ndarray | None,
    classes: Sequence[str] = DIGITS.classes,
    normal: bool = True,
) -> Figure:
    """E[z|x] of N images, coloured by class: mean (N, L), labels (N,), the names of the classes.

    normal: is the prior N(0, I)? Of two units, a circle shows it.

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
    elif normal:
        radius = math.sqrt(-2 * math.log(0.05))  # holds 95% of a two-dimensional N(0, I)
        axes.add_patch(Circle((0, 0), radius, fill=False, color="black", linestyle=":"))
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    kinds = np.zeros(count, np.uint8) if labels is None else labels
    colours: str | np.ndarray = BLUE if labels is None else np.array(PALETTE)[kinds % len(PALETTE)]
    size = min(40, max(5, 10_000 / count))  # few dots are seen if they are large
    axes.scatter(points[:, 0], points[:, 1], s=size, c=colours, alpha=0.55, linewidths=0)
    present = np.unique(kinds)
    centres = np.array([np.median(points[kinds == kind], axis=0) for kind in present])
    if (
        labels is None or np.ptp(centres, axis=0).max() < 0.1
    ):  # a collapsed posterior: names would hide each other
        present = present[:0]
    labels_at = apart(centres, 0.045 * np.ptp(points, axis=0).max())
    letters = 15 if max(map(len, classes), default=1) == 1 else 9
    for kind, (x, y) in zip(present, labels_at, strict=False):
        text = shortened(classes[kind], 16)
        name = axes.text(x, y, text, ha="center", va="center", weight="bold", size=letters)
        name.set_path_effects([patheffects.withStroke(linewidth=3, foreground="white")])
    axes.set_aspect("equal", adjustable="datalim")
    handles = [
        Line2D([], [], color=colour, marker="o", linestyle="", label=shortened(name, 16))
        for name, colour in zip(classes, PALETTE, strict=False)
        if len(classes) <= len(PALETTE)
    ]
    if units == 2 and normal:
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
def latent_units(kl: np.ndarray, active: np.ndarray, normal: bool = True) -> Figure:
    """Mean KL of each unit, nats (L,), largest first; the active units (L,) are marked.

    normal: is the prior N(0, I)? The KL is otherwise that to the prior's Gaussian approximation,
    and the units' sum is not the rate.
    """
    order = by_kl(kl)
    ranks = np.arange(1, len(kl) + 1)
    marked = active[order].astype(bool)
    figure = Figure(figsize=(WIDTH, 3.6))
    axes = figure.subplots()
    for chosen, colour, name in ((marked, BLUE, "active"), (~marked, GREY, "not active")):
        if chosen.any():
            label = f"{name} ({chosen.sum()})"
            axes.bar(ranks[chosen], kl[order][chosen], color=colour, label=label)
    title = f"Active latent units: {marked.sum()} of {len(kl)} (as in Burda et al. 2015)"
    axes.set_title(title + f"; KL of all units: {kl.sum():.2f} nats" * normal)
    prior = "$(q(z|x)\\,\\|\\,p(z))$" if normal else " to the prior's mean and variance"
    axes.set_ylabel(f"KL{prior}, nats,\nmean over the test images")
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
    edges = np.histogram_bin_edges(values.astype(np.float64), bins(len(values), 100))
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
