"""Draw all figures: results/, metrics/history.csv, models/ -> plots/*.png, latent_units.csv."""

from pathlib import Path

from mnist_vae import diagram, evaluated, figure, history, latent, plots
from mnist_vae.files import write_text
from mnist_vae.inputs import Inputs

ARRAYS = Path("results/evaluation.safetensors")
HISTORY = Path("metrics/history.csv")
MODEL = Path("models/vae.safetensors")
FOLDER = Path("plots")


def main(inputs: Inputs) -> None:
    settings = inputs.load(plots.PlotParams)
    arrays, look = evaluated.read(ARRAYS)
    epochs = history.read(HISTORY)
    network = diagram.read(MODEL)
    known = look.classes, network.continuous, network.components
    figures = plots.draw(epochs, arrays, *known) | diagram.draw(network)
    table = latent.unit_table(arrays["kl_per_unit"], arrays["active"])
    caption = evaluated.caption(arrays)
    inputs.check()
    for name, drawn in figures.items():
        figure.save(figure.captioned(drawn, caption), FOLDER / f"{name}.png", settings.plot_dpi)
    write_text(FOLDER / "latent_units.csv", table)
