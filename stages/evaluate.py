"""Evaluate on the test set: model -> metrics/evaluation.json, results/evaluation.safetensors."""

from pathlib import Path

from mnist_vae import dataset, evaluation, model, runtime
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
    train = dataset.load_intensities("train"), dataset.load_labels("train")
    metrics, arrays = evaluation.evaluate(vae, x, dataset.load_labels("test"), train, settings)
    inputs.check()
    write_json(METRICS, metrics)
    write_arrays(ARRAYS, arrays)
