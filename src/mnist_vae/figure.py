"""The common look of all figures, and how they are written.

The same figure gives the same bytes: no date, no software name, matplotlib's own fonts, and
neither a matplotlibrc nor pyplot's global state has a say.
"""

import math
from itertools import combinations
from pathlib import Path

import numpy as np
from matplotlib import style
from matplotlib.figure import Figure

from mnist_vae.files import atomic

WIDTH = 8.0  # inches, of every figure: 9 points are still 12 pixels high in an 800-pixel column
# Petroff 2021, arXiv:2107.02270: ten colours that stay apart with colour-vision deficiencies.
# Digits that a VAE confuses (3, 5, 8 and 4, 7, 9) have those that differ most.
PALETTE = (
    "#a96b59", "#b9ac70", "#94a4a2", "#3f90da", "#832db6",
    "#ffa90e", "#717581", "#e76300", "#bd1f01", "#92dadd",
)  # fmt: skip
BLUE, ORANGE, GREY = "#2166ac", "#d6604d", "#b0b0b0"
QUIET = "#606060"  # of text
FAINT = "#e6e6e6"  # of a grid
styled = style.context(
    [
        "default",
        {
            "axes.axisbelow": True,
            "axes.grid": True,
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlelocation": "left",
            "axes.titlesize": 11,
            "figure.constrained_layout.use": True,
            "figure.titlesize": 12,
            "grid.color": FAINT,
            "legend.edgecolor": "none",
        },
    ]
)


@styled
def captioned(figure: Figure, text: str) -> Figure:
    """The figure, with a line more on top that says whose it is."""
    width, height = figure.get_size_inches()
    if figure.get_constrained_layout():
        figure.set_figheight(height + 0.2)
        lines = [text, figure.get_suptitle()]
        figure.suptitle("\n".join(filter(None, lines)), size=9, color=QUIET, x=0.99, ha="right")
    else:  # a canvas in inches, its title in the first line
        figure.text(
            1 - 0.1 / width, 1 - 0.22 / height, text, size=9, color=QUIET, ha="right", va="center"
        )
    return figure


@styled
def save(figure: Figure, path: Path, dpi: int) -> None:
    """Write a PNG atomically."""
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png", dpi=dpi, metadata={"Software": None})


def minus(number: str) -> str:
    """A number with the sign that matplotlib's ticks have."""
    return number.replace("-", "−")


def bins(count: int, most: int) -> int:
    """Of a histogram of so many values: `most`, or fewer, so that few values fill them."""
    return min(most, max(8, round(2 * math.sqrt(count))))


def unit_name(index: int) -> str:
    """The latent unit with this index, counted from 1 as in formulas: z with a subscript."""
    return f"$z_{{{index + 1}}}$"


def shortened(name: str, most: int) -> str:
    """A class's name, as long as there is room for; a `$` is no formula."""
    name = name if len(name) <= most else f"{name[: most - 1]}…"
    return name.replace("$", r"\$")


def apart(places: np.ndarray, distance: float) -> np.ndarray:
    """Places for labels (N, 2), moved as far as needed to be about `distance` from each other."""
    places = places.copy()
    for _ in range(20):
        for first, second in combinations(range(len(places)), 2):
            way = places[second] - places[first]
            gap = float(np.hypot(*way))
            if gap < distance:
                direction = way / gap if gap else np.array([1.0, 0.0])
                places[first] -= direction * (distance - gap) / 2
                places[second] += direction * (distance - gap) / 2
    return places
