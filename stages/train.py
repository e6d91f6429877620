"""Train the VAE: data/processed/ -> models/vae.safetensors, metrics/history.csv."""

import csv
import io
from dataclasses import asdict
from pathlib import Path

from mnist_vae import checkpoint, dataset, model, progress, runtime, training
from mnist_vae.files import write_text
from mnist_vae.inputs import Inputs
from mnist_vae.tracking import environment, live

MODEL = Path("models/vae.safetensors")
HISTORY = Path("metrics/history.csv")


def main(inputs: Inputs) -> None:
    architecture = inputs.load(model.ModelParams)
    settings = inputs.load(training.TrainingParams)
    machine = inputs.load(runtime.RuntimeParams)

    device = runtime.prepare(machine)
    trained_on = environment.describe(machine.device)
    images = dataset.load_intensities("train")
    validation = dataset.load_observations("validation", settings.likelihood)
    vae = model.VAE(architecture)
    mean_image = images.mean(0) if settings.output_bias == "data_mean" else None
    weights = runtime.generator(settings.seed, "weights")
    model.initialize(vae, settings.weight_init, mean_image, weights)
    vae.to(device)

    path = checkpoint.path_for("train", inputs.digests, (architecture, settings, machine), device)
    saved = checkpoint.Checkpoint(path, checkpoint.interval())
    bar = progress.Bar(
        vae, len(images), settings, f"{runtime.describe(device)}, {runtime.promise(device)}"
    )
    with saved.until_in_place():
        with saved.catch_signals(), live.stream(trained_on) as tracker:

            def on_epoch(history: list[training.Row]) -> None:
                bar.epoch(history[-1])
                tracker.send(history)

            history = training.fit(vae, images, validation, settings, saved, bar.step, on_epoch)
            inputs.check()
        table = io.StringIO()
        writer = csv.DictWriter(table, training.COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: f"{value:.9g}" for key, value in row.items()} for row in history)
        write_text(HISTORY, table.getvalue())
        model.save(vae, MODEL)
        environment.record(MODEL, asdict(machine), trained_on)
        inputs.check()
