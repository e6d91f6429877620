"""Part `stages`: each stage's wall time, peak memory and imports, outside DVC."""

import re
import sys
from collections import Counter
from typing import Any

from benchmarks import process, project
from benchmarks.report import Table, target

STAGES = ("download", "preprocess", "train", "evaluate", "plots", "report", "track")
_LINE = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+([\w.]+)")


def measure(quick: bool) -> dict[str, Any]:
    """After one `dvc repro` with the default settings, but two epochs."""
    taken: dict[str, Any] = {}
    with project.make(tiny=quick, epochs=2) as sandbox:
        sandbox.dvc("repro", "report")
        sandbox.run("chmod", "-R", "u+w", ".")
        for stage in STAGES:
            command = [sys.executable, "-m", "stages", stage]
            done, peak = process.run_small(command, sandbox.folder, sandbox.environment)
            imports = [sys.executable, "-X", "importtime", "-c", f"import stages.{stage}"]
            repeats = [
                process.run(imports, sandbox.folder, sandbox.environment)
                for _ in range(1 if quick else 3)
            ]
            fastest = min(repeats, key=lambda run: run.seconds)
            by_package: Counter[str] = Counter()
            for _, line in fastest.lines:
                if match := _LINE.match(line):
                    by_package[match[2].split(".")[0]] += int(match[1])
            taken[stage] = {
                "seconds": done.seconds,
                "peak": peak,
                "imports": sum(by_package.values()) / 1e6,
                "top": [[name, spent / 1e6] for name, spent in by_package.most_common(5)],
            }
            print(f"  {stage}: {done.seconds:.1f} s, {peak:.0f} MiB", file=sys.stderr)
    return taken


def tables(raw: dict[str, Any]) -> list[Table]:
    """Memory's target is training's."""
    rows = [
        [
            stage,
            f"{one['peak']:.0f}",
            target(one["peak"], 1024, " MiB") if stage == "train" else "",
            f"{one['seconds']:.1f}",
            f"{one['imports']:.2f}",
            ", ".join(f"{name} {spent:.2f}" for name, spent in one["top"]),
        ]
        for stage, one in raw.items()
    ]
    return [
        Table(
            "Stages",
            "`python -m stages.X` with the default settings and two epochs. Imports: "
            "`python -X importtime`, seconds within each package itself; what a stage imports "
            "later, inside functions, is not in it.",
            ["", "peak MiB", "target", "s", "imports, s", "most expensive imports, s"],
            rows,
        )
    ]
