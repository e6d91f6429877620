"""Train the VAE: data/processed/ -> models/vae.safetensors, metrics/history.csv."""

from dataclasses import asdict
from pathlib import Path

from mnist_vae import checkpoint, dataset, history, initialization, model, progress, runtime, sums
from mnist_vae.inputs import Inputs
from mnist_vae.tracking import environment, live
from mnist_vae.training import TrainingParams, fit

MODEL = Path("models/vae.safetensors")
HISTORY = Path("metrics/history.csv")


def main(inputs: Inputs) -> None:
    architecture = inputs.load(model.ModelParams)
    settings = inputs.load(TrainingParams)
    machine = inputs.load(runtime.RuntimeParams)

    device = runtime.prepare(machine)
    trained_on = environment.describe(machine.device)
    images = dataset.load_intensities("train")
    validation = dataset.load_observations("validation", settings.likelihood)
    vae = initialization.new(architecture, settings, sums.mean(images)).to(device)

    path = checkpoint.path_for("train", inputs.digests, (architecture, settings, machine), device)
    saved = checkpoint.Checkpoint(path, checkpoint.interval())
    bar = progress.Bar(
        vae, len(images), settings, f"{runtime.describe(device)}, {runtime.promise(device)}"
    )
    with saved.until_in_place():
        with saved.catch_signals(), live.stream(trained_on) as tracker:

            def on_epoch(epochs: list[history.Row]) -> None:
                bar.epoch(epochs[-1])
                tracker.send(epochs)

            epochs = fit(vae, images, validation, settings, saved, bar.step, on_epoch)
            inputs.check()
        history.write(HISTORY, epochs)
        model.save(vae, MODEL)
        environment.record(MODEL, asdict(machine), trained_on)
        inputs.check()
