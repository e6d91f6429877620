"""Part `gpu`: the epoch and the time to quality on CUDA, where there is a GPU."""

import statistics
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks import clock, quality
from benchmarks.epoch import contestant
from benchmarks.report import Table, at_least

QUERY = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]


def measure(quick: bool) -> dict[str, Any]:
    """Nothing, if there is no GPU."""
    if not torch.cuda.is_available():
        return {}
    images, laps = (6_400, 2) if quick else (60_000, 5)
    runners = {
        "floor": contestant("floor", images=images, device="cuda"),
        "ours": contestant("ours", "--recipe=plain", images=images, device="cuda"),
        "DataLoader loop": contestant("naive", images=images, device="cuda"),
    }
    taken = clock.race(runners, laps)
    return {
        "name": torch.cuda.get_device_name(),
        "images": images,
        "laps": taken,
        "busy": {name: utilisation(runners[name], 1 if quick else 5) for name in runners},
        "quality": quality.measure(quick, "cuda", seeds=4),
    }


def utilisation(start: Callable[[], clock.Contestant], seconds: float) -> float:
    """Median of what nvidia-smi says during laps without a pause between them, in percent."""
    seen: list[float] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            answer = subprocess.run(QUERY, capture_output=True, text=True, check=True).stdout
            seen.append(float(answer.split()[0]))

    contestant = start()
    contestant.lap()
    watcher = threading.Thread(target=watch)
    began = time.monotonic()
    watcher.start()
    try:
        while time.monotonic() - began < seconds:
            contestant.lap(pause=0)
    finally:
        over.set()
        watcher.join()
        contestant.close()
    return statistics.median(seen[len(seen) // 4 :])  # the first ones look back on the pause


def tables(raw: dict[str, Any]) -> list[Table]:
    """Or one sentence."""
    if not raw:
        return [Table("GPU", "Not measured: no GPU on this machine.")]
    laps = raw["laps"]
    faster = clock.ratio(laps["DataLoader loop"], laps["ours"])
    rows = [
        [name, f"{clock.seconds(taken):.2f}", f"{raw['busy'][name]:.0f} %"]
        for name, taken in laps.items()
    ]
    (reached,) = quality.tables(raw["quality"])
    return [
        Table(
            "GPU: epoch",
            f"{raw['name']}. Our loop is {faster:.1f} times as fast as the DataLoader loop on the "
            f"same card, batch 128 (target {at_least(faster, 10)}). Busy: median of nvidia-smi.",
            ["", "s", "busy"],
            rows,
        ),
        Table(f"GPU: {reached.title.lower()}", reached.note, reached.header, reached.rows),
    ]
