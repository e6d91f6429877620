"""Draw all figures: results/, metrics/history.csv, models/ -> plots/*.png, latent_units.csv."""

from pathlib import Path

from mnist_vae import diagram, figure, params, plots
from mnist_vae.errors import run
from mnist_vae.files import write_text

ARRAYS = Path("results/evaluation.safetensors")
HISTORY = Path("metrics/history.csv")
MODEL = Path("models/vae.safetensors")
FOLDER = Path("plots")


def main() -> None:
    settings = params.load(plots.PlotParams)
    arrays = plots.read_evaluation(ARRAYS)
    history = plots.read_history(HISTORY)
    network = diagram.read(MODEL)
    for name, drawn in (plots.draw(history, arrays) | diagram.draw(network)).items():
        figure.save(drawn, FOLDER / f"{name}.png", settings.plot_dpi)
    table = plots.unit_table(arrays["kl_per_unit"], arrays["active"])
    write_text(FOLDER / "latent_units.csv", table)


if __name__ == "__main__":
    run(main)
