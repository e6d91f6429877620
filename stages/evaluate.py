"""Evaluate on the test set: model -> metrics/evaluation.json, results/evaluation.safetensors."""

from pathlib import Path

from mnist_vae import dataset, evaluation, model, params, runtime
from mnist_vae.errors import run
from mnist_vae.files import write_arrays, write_json

MODEL = Path("models/vae.safetensors")
METRICS = Path("metrics/evaluation.json")
ARRAYS = Path("results/evaluation.safetensors")


def main() -> None:
    settings = params.load(evaluation.EvaluationParams)
    device = runtime.prepare(params.load(runtime.RuntimeParams))
    vae = model.load(MODEL).to(device)
    x = dataset.load_observations("test", settings.likelihood).to(device)
    train = dataset.load_intensities("train"), dataset.load_labels("train")
    metrics, arrays = evaluation.evaluate(vae, x, dataset.load_labels("test"), train, settings)
    write_json(METRICS, metrics)
    write_arrays(ARRAYS, arrays)


if __name__ == "__main__":
    run(main)
