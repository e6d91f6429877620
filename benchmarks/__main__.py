"""Measure, and write docs/performance.md: `make benchmark`, `make benchmark PARTS="epoch gpu"`."""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import (
    epoch,
    evaluation,
    experiment,
    gpu,
    machine,
    pipeline,
    portable,
    quality,
    report,
    scaling,
    stages_alone,
)
from mnist_vae.errors import PipelineError, run
from mnist_vae.files import write_json

PARTS = {
    "epoch": epoch,
    "quality": quality,
    "pipeline": pipeline,
    "experiment": experiment,
    "scaling": scaling,
    "stages": stages_alone,
    "evaluation": evaluation,
    "portable": portable,
    "gpu": gpu,
}
RESULTS = Path("benchmarks/results.json")
PAGE = Path("docs/performance.md")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; else all")
    parser.add_argument("--quick", action="store_true", help="a smoke test; writes no files")
    parser.add_argument("--render", action="store_true", help="only write the page again")
    arguments = parser.parse_args()
    for part in arguments.parts:
        if part not in PARTS:
            raise PipelineError(f"{part} is no part; there are {', '.join(PARTS)}")
    results: dict[str, Any] = {}
    if RESULTS.exists() and not arguments.quick:
        results = json.loads(RESULTS.read_text(encoding="utf-8"))
    for part in [] if arguments.render else arguments.parts or PARTS:
        print(f"{part} ...", file=sys.stderr, flush=True)
        began = time.monotonic()
        raw = PARTS[part].measure(arguments.quick)
        described = machine.describe()
        if part == "epoch":
            results.setdefault("epochs", {})[described["machine"]] = raw["laps"]
        results[part] = {**described, "took": time.monotonic() - began, "raw": raw}
        if not arguments.quick:
            write_json(RESULTS, results)
    pages = tables(results)
    if arguments.quick:
        print("\n\n".join(report.markdown(table) for table in pages))
    else:
        report.write(PAGE, pages)


def tables(results: dict[str, Any]) -> list[report.Table]:
    """Where and with what, then every part's tables."""
    parts = {part: results[part] for part in PARTS if part in results}
    where: dict[tuple[str, str], list[str]] = {
        (one["machine"], one["versions"]): [] for one in parts.values()
    }
    for part, one in parts.items():
        where[one["machine"], one["versions"]].append(f"{part} ({one['took']:.0f} s)")
    notes = [f"{', '.join(names)}: {' · '.join(place)}." for place, names in where.items()]
    page = [report.Table("Measured on", "\n\n".join(notes))]
    for part, one in parts.items():
        page += PARTS[part].tables(one["raw"])
        if part == "epoch" and "epochs" in results:
            page.append(epoch.by_machine(results["epochs"]))
    return page


if __name__ == "__main__":
    run(main)
