"""`vae sweep ...`: the arguments, and what is printed."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_vae.arguments import Function, adder, for_programs, say
from mnist_vae.errors import PipelineError
from mnist_vae.experiments.repository import root

if TYPE_CHECKING:
    from mnist_vae.sweep.plan import Sweep
    from mnist_vae.sweep.progress import State


def add(parser: argparse.ArgumentParser) -> None:
    """Add the commands; each sets `function`, which gets the arguments."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="command")

    add_command = adder(commands, "vae sweep")

    def command(name: str, function: Function, says: str, example: str) -> argparse.ArgumentParser:
        added = add_command(name, function, says, example)
        added.add_argument("name", help="the sweep's name")
        return added

    new = command(
        "new",
        _new,
        "check a grid of settings, point by point, and write sweeps/NAME.yaml",
        "widths -S 'latent_dim=2,4,8,16' -S 'seed=0,1,2'",
    )
    which = new.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "-S",
        "--set-param",
        action="append",
        metavar="KEY=VALUES",
        help="as in `dvc exp run --queue`; several make a grid",
    )
    which.add_argument("--points", type=Path, help="a file, a point a line: latent_dim=4 seed=1")
    new.add_argument("--rev", help="the commit to run; else HEAD, which nothing may differ from")
    new.add_argument("--git-remote", default="origin", help="has the commit and gets the results")
    work = command(
        "work",
        _work,
        "do one point: exit status 0 if it is done, 75 if it was stopped and can go on, or 1",
        "widths 3",
    )
    work.add_argument("index", type=int, help="the point's number, from 0")
    for name, function, says in (
        ("submit", _submit, "submit the points that were never submitted and are not done"),
        ("retry", _retry, "submit again what failed, was stopped or lost, or is missing"),
    ):
        added = command(
            name, function, says, "widths --at-once 20 --slurm --partition=gpu --gres=gpu:1"
        )
        added.add_argument("--at-once", type=int, metavar="N", help="not more than N at a time")
        engine = added.add_mutually_exclusive_group(required=name == "submit")
        engine.add_argument(
            "--slurm",
            nargs=argparse.REMAINDER,
            metavar="OPTION",
            help="as SLURM job arrays; all that follows goes to sbatch",
        )
        engine.add_argument("--ray", metavar="ADDRESS", help="on a Ray cluster; waits for the end")
        added.add_argument("--num-cpus", type=float, default=1, help="of a task, for Ray")
        added.add_argument("--num-gpus", type=float, default=0, help="of a task, for Ray")
    status = command("status", _status, "show what has become of each point", "widths")
    for_programs(status)
    command("collect", _collect, "pull what is done, and bring MLflow up to date", "widths")


def _new(arguments: argparse.Namespace) -> None:
    from mnist_vae.sweep import plan, points

    if arguments.set_param:
        wanted = points.grid(arguments.set_param)
    else:
        try:
            wanted = points.lines(arguments.points.read_text(encoding="utf-8"))
        except (PipelineError, UnicodeDecodeError) as error:
            raise PipelineError(f"{arguments.points}: {error}") from None
    sweep, same = plan.new(root(), arguments.name, wanted, arguments.rev, arguments.git_remote)
    for index, point in enumerate(sweep.points):
        print(f"{index:>4}  {point.name}")
    if same:
        print("left out: the point that changes nothing; its results are the commit's own")
    file = plan.file_of(Path(), sweep.name)
    print(f"{file}: {_points(len(sweep.points))} on {sweep.revision[:7]}")
    if problem := plan.share(root()):
        print(f"warning: {problem}", file=sys.stderr)


def _work(arguments: argparse.Namespace) -> None:
    from mnist_vae.sweep import plan
    from mnist_vae.sweep.work import work

    try:
        project = root()
    except PipelineError:  # a node that has only the sweep's file
        project = None
    sys.exit(work(plan.named(project, arguments.name), arguments.index, project))


def _submit(arguments: argparse.Namespace) -> None:
    _send(arguments, ("missing",))


def _retry(arguments: argparse.Namespace) -> None:
    from mnist_vae.sweep import progress

    _send(arguments, progress.AGAIN)


def _send(arguments: argparse.Namespace, kinds: tuple[str, ...]) -> None:
    from mnist_vae.sweep import progress, slurm

    sweep = _sweep(arguments)
    if arguments.slurm is not None:
        slurm.write_script(root(), sweep, arguments.slurm)
    found = progress.states(root(), sweep)
    wanted = [state.index for state in found if state.kind in kinds]
    if not wanted:
        print(f"nothing to submit: {_summary(found)}")
        return
    if arguments.ray:
        _drive(arguments, sweep, wanted)
        return
    ids = slurm.submit(root(), sweep, wanted, arguments.at_once)
    print(
        f"{_points(len(wanted))} submitted as job {', '.join(ids)}; `vae sweep status {sweep.name}`"
    )


def _drive(arguments: argparse.Namespace, sweep: "Sweep", wanted: list[int]) -> None:
    from mnist_vae.sweep import ray
    from mnist_vae.sweep.work import DONE, STOPPED

    needs = {"num_cpus": arguments.num_cpus, "num_gpus": arguments.num_gpus}
    failed = 0
    for index, status in ray.run(root(), sweep, wanted, arguments.ray, needs):
        words = {DONE: "done", STOPPED: "stopped"}.get(status, "failed")
        print(f"{index:>4}  {sweep.point(index).name}  {words}", flush=True)
        failed += status != DONE
    if failed:
        sys.exit(f"error: {_points(failed)} not done; `vae sweep status {sweep.name}` says why")


def _status(arguments: argparse.Namespace) -> None:
    from mnist_vae.sweep import progress

    found = progress.states(root(), _sweep(arguments))
    plain = [
        {
            "index": state.index,
            "experiment": state.point.name,
            "settings": state.point.settings,
            "state": state.kind,
            "detail": state.detail,
        }
        for state in found
    ]
    say(arguments, plain, *map(progress.line, found), _summary(found))


def _collect(arguments: argparse.Namespace) -> None:
    from mnist_vae.sweep import progress

    for line in progress.collect(root(), _sweep(arguments)):
        print(line, flush=True)


def _sweep(arguments: argparse.Namespace) -> "Sweep":
    from mnist_vae.sweep import plan

    return plan.named(root(), arguments.name)


def _points(count: int) -> str:
    return "1 point" if count == 1 else f"{count} points"


def _summary(found: "list[State]") -> str:
    from mnist_vae.sweep.progress import KINDS

    counts = {kind: sum(state.kind == kind for state in found) for kind in KINDS}
    return ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
