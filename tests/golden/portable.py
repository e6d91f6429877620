"""All that the pipeline computes, on a few images; prints a hash of everything that it would write.

PYTHONPATH=src python -m tests.golden.portable data/raw >tests/golden/portable.json

With names of PARTS after the folder, only those.
"""

# ruff: noqa: E402
from mnist_vae import arithmetic

arithmetic.prepare(arithmetic.ArithmeticParams("portable"))  # before torch and numpy

import hashlib
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mnist_vae import (
    diagram,
    evaluated,
    evaluation,
    figure,
    files,
    history,
    initialization,
    model,
    plots,
    preprocess,
    runtime,
    training,
)
from mnist_vae.arrays import write_arrays
from mnist_vae.checkpoint import Checkpoint
from mnist_vae.evaluation import EvaluationParams
from tests.golden.short_training import PARAMS, read_images

TRAINED, TESTED = 60, 30
KINDS = {
    "mlp": (
        model.ModelParams(2, (512, 64), "relu", "mlp", 0),
        replace(PARAMS, epochs=1, batch_size=30),
    ),
    "conv": (
        model.ModelParams(2, (4, 8, 32), "tanh", "conv", 0),
        replace(PARAMS, epochs=1, batch_size=30, likelihood="binarized"),
    ),
    "iwae": (
        model.ModelParams(3, (64,), "tanh", "mlp", 0),
        replace(
            PARAMS,
            epochs=1,
            batch_size=30,
            objective="iwae_dreg",
            importance_samples=3,
            likelihood="binarized",
        ),
    ),
    "mixture": (
        model.ModelParams(3, (64,), "relu", "mlp", 20),
        replace(PARAMS, epochs=1, batch_size=30, likelihood="binarized"),
    ),
    "continuous": (
        model.ModelParams(2, (512, 64), "relu", "mlp", 0),
        replace(PARAMS, epochs=1, batch_size=30, likelihood="continuous_bernoulli"),
    ),
}
EVALUATION = EvaluationParams(
    likelihood="greyscale",
    evaluation_seed=0,
    elbo_samples=1,
    iwae_samples=5,
    quadrature_points=20,
    quadrature_extent=5.0,
    knn_neighbours=3,
    picture_seed=0,
    manifold_size=4,
    manifold_extent=4.0,
    reconstructions=1,
    prior_samples=4,
)


EVALUATED = ("mlp", "mixture", "continuous")
PARTS = (*KINDS, "pictures")  # those of the mlp


def run(raw: Path, folder: Path, kind: str, pictures: bool) -> None:
    """Write what train, evaluate and plots write into `folder`; the last two not of every kind."""
    architecture, settings = KINDS[kind]
    images = read_images(raw)
    stored = (raw / "t10k-labels-idx1-ubyte").read_bytes()
    labels = preprocess.parse_idx(stored, (preprocess.TEST_IMAGES,), "t10k-labels")
    train, test = images[:TRAINED], images[TRAINED : TRAINED + TESTED]
    train_labels, test_labels = labels[:TRAINED], labels[TRAINED : TRAINED + TESTED]
    vae = initialization.new(architecture, replace(settings, weight_init="spread"), train.mean(0))
    saved = Checkpoint(folder / "none.safetensors", seconds=1e9)
    epochs = training.fit(vae, train, test, settings, saved, lambda _: None, lambda _: None)
    history.write(folder / "history.csv", epochs)
    model.save(vae, folder / "vae.safetensors")
    if kind not in EVALUATED:
        return
    points = EVALUATION.quadrature_points if architecture.latent_dim == 2 else 0
    asked = replace(EVALUATION, likelihood=settings.likelihood, quadrature_points=points)
    metrics, arrays = evaluation.evaluate(
        vae.eval(), test, test_labels, (train, train_labels), asked
    )
    files.write_json(folder / "evaluation.json", metrics)
    write_arrays(folder / "evaluation.safetensors", arrays)
    if not pictures or kind != "mlp":
        return
    arrays, _ = evaluated.read(folder / "evaluation.safetensors")
    drawn = plots.draw(history.read(folder / "history.csv"), arrays)
    drawn |= diagram.draw(diagram.read(folder / "vae.safetensors"))
    caption = evaluated.caption(arrays)
    for name, picture in drawn.items():
        figure.save(figure.captioned(picture, caption), folder / f"{name}.png", 50)


def hashes(raw: Path, parts: Sequence[str]) -> dict[str, str]:
    """Path -> SHA-256 of every file that is written."""
    runtime.prepare(runtime.RuntimeParams("cpu", 1, "portable"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind in KINDS.keys() & set(parts):
            run(raw, folder / kind, kind, "pictures" in parts)
        return {
            str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }


if __name__ == "__main__":
    print(json.dumps(hashes(Path(sys.argv[1]), sys.argv[2:] or PARTS), indent=2))
