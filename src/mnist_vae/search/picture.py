"""A search in a picture: its metric against each parameter."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mnist_vae.figure import BLUE, GREY, ORANGE, WIDTH, styled
from mnist_vae.search.space import Choices, Range, Space
from mnist_vae.search.trials import METRICS, Trial

COLUMNS = 3
NAMES = {"validation_elbo": "validation ELBO", "validation_distortion": "validation distortion"}


@styled
def draw(
    space: Space, ranked: Sequence[Trial], metric: str, pruned: Sequence[Trial] = ()
) -> Figure:
    """A panel for each parameter, a point for each finished trial; the best comes first.

    ranked: at least one. The scale is that of the better three quarters; what lies beyond is drawn
    at the edge, as a triangle. pruned: marked below, since they have no comparable value.
    """
    rows = -(-len(space.varied) // COLUMNS)
    columns = min(len(space.varied), COLUMNS)
    figure = Figure(figsize=(WIDTH, 0.8 + 2.6 * rows))
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    values = np.array([trial.value for trial in ranked])
    lowest, highest = _scale(values)
    shown = np.clip(values, lowest, highest)
    up = METRICS[metric] == "maximize"
    for axes, key in zip(grid.flat, space.varied, strict=False):
        domain = space.varied[key]
        _label(axes, key, domain)
        places = np.array([_place(domain, trial.values[key]) for trial in ranked])
        inside = shown == values
        axes.plot(places[inside], values[inside], "o", color=BLUE, ms=5, label="a trial")
        beyond = {"color": BLUE, "ms": 5, "mfc": "none", "ls": "none", "label": "worse than shown"}
        if not inside.all():
            axes.plot(places[~inside], shown[~inside], marker="v" if up else "^", **beyond)
        if pruned:
            stopped = [_place(domain, trial.values[key]) for trial in pruned]
            below = {"transform": axes.get_xaxis_transform(), "clip_on": False}
            axes.plot(stopped, [0.03] * len(pruned), "x", color=GREY, ms=5, label="pruned", **below)
        axes.plot(places[:1], values[:1], "o", color=ORANGE, ms=9, label="the best")
        if (own := space.base[key]) in domain:
            axes.axvline(_place(domain, own), color=GREY, ls="--", lw=1, label="params.yaml")
    for axes in grid.flat[len(space.varied) :]:
        axes.set_visible(False)
    for axes in grid[:, 0]:
        axes.set_ylabel(f"{NAMES[metric]}\n(nats per image)")
    handles = {
        text: handle
        for axes in grid.flat
        for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=5)
    also = f", {len(pruned)} pruned" if pruned else ""
    figure.suptitle(f"{space.name}: {NAMES[metric]} of {len(ranked)} trials by parameter{also}")
    return figure


def _scale(values: np.ndarray) -> tuple[float, float]:
    """The ends of the scale, given values from the best to the worst."""
    best = float(values[0])
    end = best + 1.5 * float(np.quantile(np.abs(values - best), 0.75)) * np.sign(values[-1] - best)
    return min(best, end), max(best, end)


def _place(domain: Choices | Range, value: object) -> float:
    if isinstance(domain, Choices):
        return domain.index(value)
    return float(value)  # type: ignore[arg-type]


def _label(axes: Axes, key: str, domain: Choices | Range) -> None:
    axes.set_xlabel(key)
    axes.margins(y=0.15)
    if isinstance(domain, Choices):
        texts = ["x".join(map(str, v)) if isinstance(v, list) else str(v) for v in domain.values]
        axes.set_xticks(range(len(texts)), texts, rotation=30 if max(map(len, texts)) > 7 else 0)
        axes.set_xlim(-0.5, len(texts) - 0.5)
        return
    if domain.log:
        axes.set_xscale("log")
        room = (domain.high / domain.low) ** 0.05
        axes.set_xlim(domain.low / room, domain.high * room)
    else:
        room = 0.05 * (domain.high - domain.low)
        axes.set_xlim(domain.low - room, domain.high + room)
