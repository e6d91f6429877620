"""Train the VAE: data/processed/ -> models/vae.safetensors, metrics/history.csv."""

import csv
import io
from dataclasses import asdict
from pathlib import Path

from mnist_vae import checkpoint, dataset, model, params, progress, runtime, training
from mnist_vae.errors import run
from mnist_vae.files import write_text
from mnist_vae.tracking import environment, live

MODEL = Path("models/vae.safetensors")
HISTORY = Path("metrics/history.csv")


def main() -> None:
    architecture = params.load(model.ModelParams)
    settings = params.load(training.TrainingParams)
    machine = params.load(runtime.RuntimeParams)

    device = runtime.prepare(machine)
    trained_on = environment.describe(machine.device)
    images = dataset.load_intensities("train")
    validation = dataset.load_observations("validation", settings.likelihood)
    vae = model.VAE(architecture)
    mean_image = images.mean(0) if settings.output_bias == "data_mean" else None
    weights = runtime.generator(settings.seed, "weights")
    model.initialize(vae, settings.weight_init, mean_image, weights)
    vae.to(device)

    path = checkpoint.path_for("train", (architecture, settings, machine), device)
    saved = checkpoint.Checkpoint(path, checkpoint.interval())
    bar = progress.Bar(vae, len(images), settings, runtime.describe(device))
    with saved.catch_signals(), live.stream(trained_on) as tracker:

        def on_epoch(history: list[training.Row]) -> None:
            bar.epoch(history[-1])
            tracker.send(history)

        history = training.fit(vae, images, validation, settings, saved, bar.step, on_epoch)

    table = io.StringIO()
    writer = csv.DictWriter(table, training.COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: f"{value:.9g}" for key, value in row.items()} for row in history)
    write_text(HISTORY, table.getvalue())
    model.save(vae, MODEL)
    environment.record(MODEL, asdict(machine), trained_on)
    saved.remove()


if __name__ == "__main__":
    run(main)
