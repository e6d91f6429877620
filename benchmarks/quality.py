"""Part `quality`: seconds until validation is as good as the plain recipe's after 30 epochs.

In the mean over seeds: one seed's end differs from the next one's by more than recipes do.
"""

import statistics
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from benchmarks import data
from benchmarks.recipe import CANDIDATES, NETWORK, PLAIN
from benchmarks.report import Table, target
from mnist_vae import checkpoint, initialization, params, runtime, training
from mnist_vae.history import Row
from mnist_vae.preprocess import PreprocessParams, preprocess, write

Curve = list[tuple[float, float]]  # seconds since the start, validation -ELBO, after each epoch


def splits(folder: Path) -> tuple[Tensor, Tensor]:
    """The default split's training and validation images; the test set is not loaded."""
    from mnist_vae import dataset

    processed = folder / "processed"
    write(preprocess(params.load(PreprocessParams), folder / "MNIST/raw"), processed)
    return (
        dataset.load_intensities("train", processed),
        dataset.load_intensities("validation", processed),
    )


def curve(train: Tensor, validation: Tensor, changes: Mapping[str, object], device: str) -> Curve:
    """Train with params.yaml and `changes`."""
    machine = runtime.prepare(runtime.RuntimeParams(device, torch.get_num_threads(), "native"))
    settings = replace(params.load(training.TrainingParams), **changes)  # type: ignore[arg-type]
    vae = initialization.new(NETWORK, settings, train.mean(0)).to(machine)
    taken: Curve = []
    began = time.perf_counter()

    def on_epoch(history: list[Row]) -> None:
        taken.append((time.perf_counter() - began, -history[-1]["validation_elbo"]))

    with TemporaryDirectory() as folder:
        saved = checkpoint.Checkpoint(Path(folder) / "checkpoint", checkpoint.interval())
        training.fit(vae, train, validation, settings, saved, lambda _: None, on_epoch)
    return taken


def measure(quick: bool, device: str = "cpu", seeds: int = 3) -> dict[str, Any]:
    """Plain recipe and candidates in turn, for each seed."""
    train, validation = splits(data.prepare())
    short: dict[str, object] = {}
    if quick:
        train, validation, short, seeds = train[:5000], validation[:1000], {"epochs": 2}, 1
    recipes = {"plain": PLAIN} | CANDIDATES
    curves: dict[str, list[Curve]] = {name: [] for name in recipes}
    for seed in range(seeds):
        for name, changes in recipes.items():
            taken = curve(train, validation, {**changes, **short, "seed": seed}, device)
            curves[name].append(taken)
            seconds, end = taken[-1]
            print(f"  seed {seed}, {name}: {end:.2f} after {seconds:.1f} s", file=sys.stderr)
    return {"curves": curves}


def mean_values(curves: list[Curve]) -> list[float]:
    """Validation's -ELBO after each epoch, mean over the seeds."""
    return [statistics.fmean(value for _, value in epoch) for epoch in zip(*curves, strict=True)]


def tables(raw: dict[str, Any]) -> list[Table]:
    """Seconds to the goal, over the plain recipe's; a recipe that misses it has none."""
    curves: dict[str, list[Curve]] = raw["curves"]
    plain = mean_values(curves["plain"])
    goal = plain[-1]
    first = next(epoch for epoch, mean in enumerate(plain) if mean <= goal)  # it may be noisy
    rows = []
    for name, seeds in curves.items():
        ends = [taken[-1][1] for taken in seeds]
        spread = f" ± {statistics.stdev(ends):.2f}" if len(ends) > 1 else ""
        end = f"{statistics.fmean(ends):.2f}{spread}"
        reached = [epoch for epoch, mean in enumerate(mean_values(seeds)) if mean <= goal]
        if not reached:
            rows.append([name, "-", "-", "-", "not reached", end])
            continue
        seconds = [taken[reached[0]][0] for taken in seeds]
        pairs = zip(seconds, curves["plain"], strict=True)
        ratio = statistics.median(ours / taken[first][0] for ours, taken in pairs)
        met = target(ratio, 0.35) if name != "plain" else ""
        took = f"{statistics.median(seconds):.1f}"
        rows.append([name, f"{reached[0] + 1}", took, f"{ratio:.2f}", met, end])
    return [
        Table(
            "Time to quality",
            f"Seconds of training, validation included, until validation's -ELBO is what constant "
            f"Adam 1e-3, batch 128, has after 30 epochs: {goal:.2f} nats, as all figures the mean "
            f"over {len(curves['plain'])} seeds (± standard deviation), whose ends differ by more "
            "than recipes do. Default split, no test data. The plain recipe's time is that of its "
            "first epoch so far down. Each candidate is one whole schedule "
            "(`recipe.CANDIDATES`). Seconds and their ratio: medians.",
            ["", "epochs", "s", "ratio", "target", "-ELBO in the end"],
            rows,
        )
    ]
