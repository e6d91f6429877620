"""Evaluate on the test set: model -> metrics/evaluation.json, results/evaluation.safetensors."""

from pathlib import Path

from mnist_vae import dataset, evaluation, images, model, runtime
from mnist_vae.arrays import write_arrays
from mnist_vae.files import write_json
from mnist_vae.inputs import Inputs

MODEL = Path("models/vae.safetensors")
METRICS = Path("metrics/evaluation.json")
ARRAYS = Path("results/evaluation.safetensors")


def main(inputs: Inputs) -> None:
    settings = inputs.load(evaluation.EvaluationParams)
    device = runtime.prepare(inputs.load(runtime.RuntimeParams))
    vae = model.load(MODEL).to(device)
    x = dataset.load_observations("test", settings.likelihood).to(device)
    look = dataset.load_look()
    labels, known = (
        dataset.load_labels(split) if look.classes else None for split in ("test", "train")
    )
    train = dataset.load_intensities("train"), known
    metrics, arrays = evaluation.evaluate(vae, x, labels, train, settings)
    inputs.check()
    write_json(METRICS, metrics)
    write_arrays(ARRAYS, arrays, images.metadata(look))
