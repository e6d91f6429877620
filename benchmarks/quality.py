"""Part `quality`: seconds until validation is as good as the plain recipe's after 30 epochs."""

import math
import statistics
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from benchmarks import data
from benchmarks.recipe import CANDIDATES, NETWORK, PLAIN
from benchmarks.report import Table, target
from mnist_vae import checkpoint, model, params, runtime, training
from mnist_vae.preprocess import PreprocessParams, preprocess

Curve = list[tuple[float, float]]  # seconds since the start, validation -ELBO, after each epoch


class _ReachedError(Exception):
    """The goal is reached: no need to go on."""


def splits(folder: Path) -> tuple[Tensor, Tensor]:
    """The default split's training and validation images; the test set is not loaded."""
    from mnist_vae import dataset

    processed = folder / "processed"
    preprocess(params.load(PreprocessParams), folder / "MNIST/raw", processed)
    return (
        dataset.load_intensities("train", processed),
        dataset.load_intensities("validation", processed),
    )


def curve(
    train: Tensor,
    validation: Tensor,
    changes: Mapping[str, object],
    goal: float,
    device: str,
) -> Curve:
    """Train with params.yaml and `changes`, until validation's -ELBO is at most `goal`."""
    machine = runtime.prepare(runtime.RuntimeParams(device, torch.get_num_threads()))
    settings = replace(params.load(training.TrainingParams), **changes)  # type: ignore[arg-type]
    vae = model.VAE(NETWORK)
    mean_image = train.mean(0) if settings.output_bias == "data_mean" else None
    weights = runtime.generator(settings.seed, "weights")
    model.initialize(vae, settings.weight_init, mean_image, weights)
    vae.to(machine)
    taken: Curve = []
    began = time.perf_counter()

    def on_epoch(history: list[training.Row]) -> None:
        taken.append((time.perf_counter() - began, -history[-1]["validation_elbo"]))
        if taken[-1][1] <= goal:
            raise _ReachedError

    with TemporaryDirectory() as folder, suppress(_ReachedError):
        saved = checkpoint.Checkpoint(Path(folder) / "checkpoint", checkpoint.interval())
        training.fit(vae, train, validation, settings, saved, lambda _: None, on_epoch)
    return taken


def measure(quick: bool, device: str = "cpu") -> dict[str, Any]:
    """Plain recipe and candidates in turn, for each seed."""
    train, validation = splits(data.prepare())
    short: dict[str, object] = {}
    if quick:
        train, validation, short = train[:5000], validation[:1000], {"epochs": 2}
    rounds = []
    for seed in range(1 if quick else 2):
        plain = curve(train, validation, PLAIN | short | {"seed": seed}, -math.inf, device)
        goal = plain[-1][1]
        turn: dict[str, Any] = {"seed": seed, "goal": goal, "plain": plain}
        for name, changes in CANDIDATES.items():
            changes = {**changes, **short, "seed": seed}
            turn[name] = curve(train, validation, changes, goal, device)
            seconds, reached = turn[name][-1]
            print(f"  seed {seed}, {name}: {reached:.2f} in {seconds:.1f} s", file=sys.stderr)
        print(f"  seed {seed}, plain: {goal:.2f} in {plain[-1][0]:.1f} s", file=sys.stderr)
        rounds.append(turn)
    return {"rounds": rounds}


def tables(raw: dict[str, Any]) -> list[Table]:
    """Seconds to the goal, over the plain recipe's; a candidate that misses it has none."""
    rounds = raw["rounds"]
    goals = ", ".join(f"{turn['goal']:.3f}" for turn in rounds)
    plain = statistics.median(turn["plain"][-1][0] for turn in rounds)
    rows = [["plain", f"{len(rounds[0]['plain'])}", f"{plain:.1f}", "1.00", ""]]
    names = [name for name in rounds[0] if name not in ("seed", "goal", "plain")]
    for name in names:
        if any(turn[name][-1][1] > turn["goal"] for turn in rounds):
            best = ", ".join(f"{min(value for _, value in turn[name]):.3f}" for turn in rounds)
            rows.append([name, "-", "-", "-", f"not reached: {best}"])
            continue
        epochs = statistics.median(len(turn[name]) for turn in rounds)
        seconds = statistics.median(turn[name][-1][0] for turn in rounds)
        ratio = statistics.median(turn[name][-1][0] / turn["plain"][-1][0] for turn in rounds)
        goal = target(ratio, 0.35)
        rows.append([name, f"{epochs:g}", f"{seconds:.1f}", f"{ratio:.2f}", goal])
    return [
        Table(
            "Time to quality",
            f"Seconds of training, validation included, until validation's -ELBO is what constant "
            f"Adam 1e-3, batch 128, has in the end ({goals} nats for the seeds "
            f"{', '.join(str(turn['seed']) for turn in rounds)}; default split, no test data). "
            "Medians over the seeds; each candidate is one whole schedule (`recipe.CANDIDATES`).",
            ["", "epochs", "s", "ratio", "target"],
            rows,
        )
    ]
