"""Part `portable`: what the same bytes on every CPU cost, against the fastest arithmetic here."""

from typing import Any

import torch

from benchmarks import clock
from benchmarks.epoch import contestant
from benchmarks.report import Table, at_least, target

LIMITS = {"AVX2": 1.15, "AVX512": 1.6}  # of an epoch, by what the CPU can do


def measure(quick: bool) -> dict[str, Any]:
    """Laps of both kinds of arithmetic in turn: an epoch, and IWAE-5000."""
    images, few = (6_400, 50) if quick else (60_000, 100)
    iwae = "--kind=iwae"
    runners = {
        "epoch, native": contestant("ours", "--recipe=params.yaml", images=images),
        "epoch, portable": contestant("ours", "--recipe=params.yaml", images=images, portable=True),
        "IWAE-5000, native": contestant("marginal_lap", iwae, images=few),
        "IWAE-5000, portable": contestant("marginal_lap", iwae, images=few, portable=True),
        "IWAE-5000, products": contestant(
            "marginal_lap", iwae, "--floor", "--onednn", images=few, portable=True
        ),
    }
    return {
        "images": images,
        "few": few,
        "capability": torch.backends.cpu.get_cpu_capability(),
        "laps": clock.race(runners, 1 if quick else 5),
    }


def tables(raw: dict[str, Any]) -> list[Table]:
    """Ratios, each with its target."""
    laps = raw["laps"]
    epoch = clock.ratio(laps["epoch, portable"], laps["epoch, native"])
    iwae = clock.ratio(laps["IWAE-5000, portable"], laps["IWAE-5000, native"])
    share = 100 * clock.ratio(laps["IWAE-5000, products"], laps["IWAE-5000, portable"])
    rows = [
        ["epoch: portable / native", f"{epoch:.2f}", target(epoch, LIMITS[raw["capability"]])],
        ["IWAE-5000: portable / native", f"{iwae:.2f}", ""],
        [
            "IWAE-5000, portable: of the rate of its products by oneDNN with AVX2",
            f"{share:.0f} %",
            at_least(share, 80, " %"),
        ],
    ]
    seconds = ", ".join(f"{name} {clock.seconds(taken):.2f} s" for name, taken in laps.items())
    return [
        Table(
            f"Portable arithmetic on a CPU with {raw['capability']}",
            f"An epoch of {raw['images']:,} images as params.yaml has it, and IWAE-5000 of "
            f"{raw['few']} images. Medians: {seconds}.",
            ["", "", "target"],
            rows,
        )
    ]
