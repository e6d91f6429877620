"""Part `epoch`: seconds of one epoch, ours against the floor, Keras and the tutorial's loop."""

import os
import statistics
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks import clock, data, floor, process, project
from benchmarks.recipe import NETWORK
from benchmarks.report import Table, target
from mnist_vae import arithmetic
from tests.support.sandbox import Project

KERAS = Path(".venv-benchmark/bin/python").absolute()
VALIDATION = 10_000  # images
FLOOR, FAST_FLOOR, ADAM_FLOOR = "floor", "floor by oneDNN", "floor with Adam"
LIVE = "ours, with validation and MLflow"
RIVALS = (ADAM_FLOOR, FLOOR, FAST_FLOOR, "Keras", "DataLoader loop")
LIMITS = {ADAM_FLOOR: 1.5, "Keras": 0.5, "DataLoader loop": 0.3}


def contestant(
    module: str,
    *arguments: str,
    images: int,
    device: str = "cpu",
    python: str = sys.executable,
    sandbox: Project | None = None,
    portable: bool = False,
) -> Callable[[], clock.Contestant]:
    """How to start `python -m benchmarks.<module>` in the checkout or in a sandbox."""
    command = [python, "-m", f"benchmarks.{module}", "--data", str(data.prepare())]
    command += ["--images", str(images), "--device", device, *arguments]
    folder = sandbox.folder if sandbox else Path.cwd()
    environment = dict(sandbox.environment if sandbox else os.environ)
    if portable:
        command += ["--arithmetic", "portable"]
        environment |= arithmetic.SETTINGS
    return partial(clock.Contestant, command, folder, environment)


def measure(quick: bool) -> dict[str, Any]:
    """Laps of every contestant, and the live view's cost in whole training stages."""
    images, laps = (6_400, 2) if quick else (60_000, 5)
    with project.make(epochs=1 if quick else 8, threads=torch.get_num_threads()) as sandbox:
        sandbox.dvc("repro", "preprocess")
        live = (f"--validation={VALIDATION * images // 60_000}", "--live")
        runners = {
            FLOOR: contestant("floor", images=images),
            FAST_FLOOR: contestant("floor", "--onednn", images=images),
            ADAM_FLOOR: contestant("floor", "--adam", images=images),
            "ours": contestant("ours", "--recipe=plain", images=images),
            "ours, params.yaml": contestant("ours", "--recipe=params.yaml", images=images),
            LIVE: contestant("ours", "--recipe=plain", *live, images=images, sandbox=sandbox),
            "Keras": contestant("keras_epoch", images=images, python=str(KERAS)),
            "DataLoader loop": contestant("naive", images=images),
        }
        taken = clock.race(runners, laps)
        stages = live_cost(sandbox, 1 if quick else 4)
    return {"images": images, "laps": taken, "live": stages}


def live_cost(sandbox: Project, repeats: int) -> list[dict[str, float]]:
    """The training stage with the live view and without, in turn, each as often the first."""
    taken = []
    for repeat in range(repeats):
        turn = {}
        for switch in ("on", "off") if repeat % 2 else ("off", "on"):
            command = [sys.executable, "-m", "stages", "train"]
            done = process.run(
                command, sandbox.folder, sandbox.environment | {"MNIST_VAE_LIVE": switch}
            )
            if any("no live view" in line for _, line in done.lines):
                raise RuntimeError("the live view does not work in the sandbox")
            turn[switch] = process.between(done.lines, "training ", "epoch ")
        turn["epochs"] = sum(line.startswith("epoch ") for _, line in done.lines)
        taken.append(turn)
        print(f"  live view: on {turn['on']:.2f} s, off {turn['off']:.2f} s", file=sys.stderr)
    return taken


def tables(raw: dict[str, Any]) -> list[Table]:
    """Ratios first."""
    laps, images = raw["laps"], raw["images"]
    work = floor.flop(NETWORK, images)
    ratios = []
    for name, limits in (("ours", LIMITS), (LIVE, {}), ("ours, params.yaml", {})):
        for rival in RIVALS:
            value = clock.ratio(laps[name], laps[rival])
            goal = target(value, limits[rival]) if rival in limits else ""
            ratios.append([f"{name} / {rival}", f"{value:.2f}", goal])
    seconds = [
        [name, f"{clock.seconds(taken):.2f}", f"{work / clock.seconds(taken) / 1e9:.0f}"]
        for name, taken in laps.items()
    ]
    longer = [turn["on"] - turn["off"] for turn in raw["live"]]
    off, epochs = (
        statistics.median(turn[key] for turn in raw["live"]) for key in ("off", "epochs")
    )
    cost = 100 * statistics.median(longer) / (off * 30 / epochs)
    logging = [
        [
            f"{statistics.median(longer):.2f} s",
            f"{min(longer):.2f} to {max(longer):.2f} s",
            f"{cost:.1f} %",
            target(cost, 2, " %"),
        ]
    ]
    return [
        Table(
            f"Epoch of {images:,} images: ratios",
            "Medians of the ratios within each turn. *ours*: the plain recipe, constant Adam 1e-3, "
            "as its rivals have it; *ours, params.yaml*: with the encoder's noise and the "
            "averaged weights. Validation: one image for six of training, after each epoch. "
            "*floor*: torch.mm, *by oneDNN*: what our linear layers call in portable arithmetic "
            "and on AMD's CPUs with AVX-512, *with Adam*: torch.mm, then PyTorch's Adam in one "
            "pass over all weights.",
            ["", "ratio", "target"],
            ratios,
        ),
        Table(
            "Epoch: seconds",
            f"{work / 1e9:.0f} GFLOP of matrix products per epoch (validation not counted).",
            ["", "s", "GFLOP/s"],
            seconds,
        ),
        Table(
            "The live view in MLflow",
            f"`python -m stages.train` over {epochs:.0f} epochs, with and without, in turn: median "
            "and range of the differences. The process that imports MLflow takes its time from "
            "training once, so it is set against the 30 epochs of params.yaml.",
            ["longer by", "range", "of 30 epochs", "target"],
            logging,
        ),
    ]


def by_machine(laps: dict[str, dict[str, list[clock.Lap]]]) -> Table:
    """A row for each machine that the part was measured on: the plain recipe's ratios."""
    rows = []
    for machine, taken in sorted(laps.items()):
        values = {rival: clock.ratio(taken["ours"], taken[rival]) for rival in RIVALS}
        cells = [f"{value:.2f}" for value in values.values()]
        rows.append([machine, f"{clock.seconds(taken['ours']):.2f}", *cells])
    return Table(
        "Epoch, by kind of processor",
        "The plain recipe, seconds and ratios as above; a machine's row stays until it is measured "
        "again.",
        ["", "s", *(f"/ {rival}" for rival in RIVALS)],
        rows,
    )
