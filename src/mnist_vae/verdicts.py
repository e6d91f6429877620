"""`vae reproduce`, `vae verify` and `vae changes`: are these the same bytes?"""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_vae.arguments import Add, for_programs, say
from mnist_vae.experiments.repository import root

if TYPE_CHECKING:
    from mnist_vae.experiments.compare import Verdict


def add(command: Add) -> None:
    """Add the commands to those of `vae`."""
    reproduce = command(
        "reproduce",
        _reproduce,
        "run an MLflow run, experiment or commit again, from nothing and in its own "
        "environment: identical, within tolerance (exit status 0), or different (1)",
        "HEAD~1 --record",
    )
    reproduce.add_argument("name", help="id of an MLflow run, experiment, or revision")
    reproduce.add_argument("--record", action="store_true", help="note the verdict in MLflow")
    for_programs(reproduce)
    verify = command(
        "verify",
        _verify,
        "as `reproduce`, of HEAD or another; exit status 0 only if all outputs are those of its "
        "dvc.lock, byte for byte",
        "HEAD",
    )
    verify.add_argument("name", nargs="?", default="HEAD", help="experiment or revision; else HEAD")
    for_programs(verify)
    changes = command(
        "changes",
        _changes,
        "are the outputs in the workspace those of the last commit, byte for byte? exit status 1 "
        "if they are not",
        "",
    )
    for_programs(changes)


def _verify(arguments: argparse.Namespace) -> None:
    from mnist_vae.reproduce import reproduce

    verdict = reproduce(Path.cwd(), arguments.name).verdict
    say(arguments, asdict(verdict), _told(verdict, arguments.name))
    sys.exit(1 if verdict.differences else 0)


def _reproduce(arguments: argparse.Namespace) -> None:
    from mnist_vae.reproduce import explain, reproduce
    from mnist_vae.tracking import reproduced
    from mnist_vae.tracking.faults import StoreError

    folder = root()
    rerun = reproduce(folder, reproduced.revision(folder, arguments.name))
    notes: list[str] = []
    try:
        store, run = reproduced.of(folder, rerun)
        if run and rerun.verdict.differences:
            notes += explain(run.data.tags, rerun.environment) or ["no env.* of the run differs"]
        if run and arguments.record:
            reproduced.record(store, run, rerun)
            notes.append(f"noted in run {run.info.run_name}")
        elif arguments.record:
            notes.append("not noted: the store has no run of it; `vae rebuild --history` makes it")
    except StoreError as error:
        notes.append(f"not noted: {error}" if arguments.record else f"warning: {error}")
    told = "\n  ".join([_told(rerun.verdict, arguments.name), *notes])
    say(arguments, asdict(rerun.verdict) | {"notes": notes}, told)
    sys.exit(1 if rerun.verdict.kind == "different" else 0)


def _told(verdict: "Verdict", name: str) -> str:
    """A verdict for people: one line, and one for each difference and metric."""
    if not verdict.differences:
        return f"identical: all {verdict.compared} outputs of {name}, byte for byte"
    lines = [
        f"{verdict.kind}: {len(verdict.differences)} of {verdict.compared} outputs of {name} "
        f"differ; the first is {verdict.differences[0]}",
        *map(str, verdict.differences[1:]),
        *verdict.reasons,
    ]
    return "\n  ".join(lines)


def _changes(arguments: argparse.Namespace) -> None:
    from mnist_vae.experiments import compare

    verdict = compare.workspace(root())
    say(arguments, asdict(verdict), _told(verdict, "the commit"))
    sys.exit(1 if verdict.differences else 0)
