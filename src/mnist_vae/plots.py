"""All figures but the diagrams: which there are, and the curves of training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mnist_vae.figure import BLUE, ORANGE, WIDTH, minus, styled
from mnist_vae.history import COLUMNS, Row
from mnist_vae.images import DIGITS
from mnist_vae.latent import latent, latent_units
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

TERMS = ("elbo", "rate", "distortion")


@dataclass(frozen=True)
class PlotParams:
    """Resolution of the PNG files, pixels per inch."""

    plot_dpi: int


def draw(
    epochs: Sequence[Row],
    arrays: Mapping[str, np.ndarray],
    classes: Sequence[str] = DIGITS.classes,
    continuous: bool = False,
    components: int = 0,
) -> dict[str, Figure]:
    """All figures but the diagrams by name, from `history.read` and `evaluated.read`.

    continuous: is p(x|z) a continuous Bernoulli? Its means are no probabilities. components: of
    the learned prior, 0 for N(0, I).
    """
    normal = components == 0
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
        "latent": latent(mean, arrays.get("labels"), classes, normal),
        "latent_units": latent_units(arrays["kl_per_unit"], arrays["active"], normal),
        "manifold": manifold(
            arrays["manifold"],
            arrays["manifold_axis"],
            arrays["manifold_units"],
            mean.shape[1],
            shown,
            normal,
        ),
        "manifold_quantiles": manifold_quantiles(
            arrays["manifold_quantiles"], arrays["manifold_units"], mean.shape[1], normal
        ),
        "prior_samples": prior_samples(arrays["prior_samples"], shown, components),
        "reconstructions": reconstructions(
            arrays["originals"], arrays["reconstructions"], arrays["picture_labels"], classes
        ),
        "training": training(epochs),
        "traversals": traversals(
            arrays["traversals"],
            arrays["traversal_axis"],
            arrays["traversal_units"],
            arrays["kl_per_unit"],
            normal,
        ),
    }


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
                label = minus(f"{split}: {values.iloc[-1]:.2f}")
                axes.plot(epochs, values, ".-", color=colour, label=label)
        axes.set_title(name, pad=20)
        axes.set_ylabel("nats per image")
        axes.legend(  # above the curves, which may go anywhere
            loc="lower left",
            bbox_to_anchor=(0, 1),
            ncols=2,
            borderaxespad=0,
            borderpad=0.2,
            columnspacing=1.2,
            handlelength=1.4,
        )
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
        f"Trained at β = {beta}, shown at β = 1; train: mean over the epoch; numbers: the last"
    )
    return figure
