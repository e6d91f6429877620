"""Part `evaluation`: IWAE-5000 and quadrature against the matmul rate of the same shapes."""

from typing import Any

from benchmarks import clock
from benchmarks.epoch import contestant
from benchmarks.report import Table, at_least, target

NAMES = {"iwae": "IWAE-5000", "quadrature": "quadrature"}


def measure(quick: bool) -> dict[str, Any]:
    """Laps of both estimators and of their matrix products, in turn."""
    sizes = {
        "iwae": (50 if quick else 200, 0),
        "quadrature": (1000, 60) if quick else (10_000, 200),
    }
    runners = {}
    for kind, (images, points) in sizes.items():
        arguments = (f"--kind={kind}", f"--points={points}")
        runners[kind] = contestant("marginal_lap", *arguments, images=images)
        floor = contestant("marginal_lap", *arguments, "--floor", images=images)
        runners[f"{kind} floor"] = floor
    return {"sizes": sizes, "laps": clock.race(runners, 1 if quick else 9, 0 if quick else 1)}


def tables(raw: dict[str, Any]) -> list[Table]:
    """Percent of the matmul rate first."""
    rows = []
    for kind, name in NAMES.items():
        laps, floor = raw["laps"][kind], raw["laps"][f"{kind} floor"]
        share = 100 * clock.ratio(floor, laps)
        goal = 80 if kind == "iwae" else 0
        images, points = raw["sizes"][kind]
        rate = laps[0]["flop"] / clock.seconds(laps)
        whole = clock.seconds(laps) * (10_000 / images) * ((600 / points) ** 2 if points else 1)
        added = max(lap["added"] for lap in laps)
        rows.append(
            [
                name,
                f"{share:.0f} %",
                at_least(share, goal, " %") if goal else "",
                f"{rate / 1e9:.0f}",
                f"{whole:.0f}",
                f"{added:.0f}",
                target(added, 1024, " MiB"),
            ]
        )
    (iwae, _), (images, points) = raw["sizes"]["iwae"], raw["sizes"]["quadrature"]
    return [
        Table(
            "Evaluation",
            f"Measured on {iwae} images for IWAE-5000, on {images:,} images and {points}² points "
            "for the quadrature; scaled to 10,000 images and 600² points. Memory: what the "
            "estimator adds to the process that holds model and images.",
            ["", "of the matmul rate", "target", "GFLOP/s", "test set, s", "MiB", "target"],
            rows,
        )
    ]
