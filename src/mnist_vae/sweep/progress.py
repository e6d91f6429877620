"""What has become of a sweep's points, and the finished ones brought here."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mnist_vae import programs
from mnist_vae.errors import PipelineError
from mnist_vae.experiments.repository import Repository
from mnist_vae.sweep import plan, remote, slurm
from mnist_vae.sweep.plan import Sweep
from mnist_vae.sweep.points import Point
from mnist_vae.sweep.work import LOG

KINDS = ("done", "running", "queued", "stopped", "failed", "lost", "missing", "unknown")
AGAIN = ("stopped", "failed", "lost", "missing")  # what `retry` submits
_CHUNK = 200  # refs on one command line


@dataclass(frozen=True)
class State:
    """A point, one of KINDS, and what is known beside that.

    stopped: it can go on; lost: it began and nobody knows its end; missing: it never began;
    unknown: it is not done, and the scheduler does not answer.
    """

    index: int
    point: Point
    kind: str
    detail: str


def states(root: Path, sweep: Sweep, held: Mapping[str, str] | None = None) -> list[State]:
    """The state of each point: as the Git remote, the scheduler and the sweep's log say.

    held: what the remote has, if it has been asked. Raises PipelineError if the remote does not
    answer.
    """
    jobs, silent = {}, ""
    try:
        jobs = slurm.states(root, sweep)  # first: what ends in the meantime has been pushed
    except PipelineError as error:
        silent = str(error)
    held = remote.held(sweep) if held is None else held
    ends, log = slurm.ended(root, sweep), _last(root, sweep)
    found = []
    for index, point in enumerate(sweep.points):
        event, detail = log.get(index, ("", ""))
        if point.name in held or event == "same":
            state = ("done", held[point.name][:7] if point.name in held else detail)
        elif silent:
            state = ("unknown", silent)
        elif index in jobs:
            state = (jobs[index], _epoch(root, sweep, index) if jobs[index] == "running" else "")
        elif event in ("failed", "stopped"):
            state = (event, detail)
        elif event == "done":
            state = ("missing", "its experiment is no longer on the remote")
        elif event:
            state = ("lost", ends.get(index, "") or "it neither ended nor was it stopped")
        else:
            state = ("missing", ends.get(index, ""))
        found.append(State(index, point, *state))
    return found


def collect(root: Path, sweep: Sweep) -> Iterator[str]:
    """Pull the finished experiments with their outputs and bring the MLflow store up to date.

    Yields lines for people. Raises PipelineError if the remote does not answer.
    """
    from mnist_vae.tracking.rebuild import rebuild

    held = remote.held(sweep)
    found = states(root, sweep, held)
    with Repository(root) as repository:
        here = {
            exp.name: exp.commit for exp in repository.experiments if exp.baseline == sweep.revision
        }
    wanted = [point.name for point in sweep.points if point.name in held]
    new = [name for name in wanted if name not in here]
    for name in wanted:
        if name in here and here[name] != held[name]:
            yield f"{name}: this clone has one of its own, which stays; the remote has another"
    for start in range(0, len(new), _CHUNK):
        _pull(root, sweep, new[start : start + _CHUNK])
    yield f"{len(new)} experiments pulled, {len(wanted) - len(new)} were here"
    yield from rebuild(prune=False)
    out = [state for state in found if state.kind != "done"]
    yield from (f"still out: {line(state)}" for state in out)
    if not out:
        yield f"all {len(sweep.points)} points of {sweep.name} are here"


def line(state: State) -> str:
    """A state for people."""
    detail = f": {state.detail}" if state.detail else ""
    return f"{state.index:>4}  {state.point.name}  {state.kind}{detail}"


def _pull(root: Path, sweep: Sweep, names: Sequence[str]) -> None:
    refs = [f"{sweep.refs}{name}" for name in names]
    programs.run(["dvc", "exp", "pull", "--quiet", sweep.remote, *refs], root, programs.settings())


def _last(root: Path, sweep: Sweep) -> dict[int, tuple[str, str]]:
    """The last event of each point in the sweep's log, and its detail."""
    log = plan.folder_of(root, sweep.name) / LOG
    found = {}
    for text in log.read_text(encoding="utf-8").splitlines() if log.exists() else []:
        words = text.split("\t")
        if len(words) == 6 and words[1].isdigit():  # else torn, on a network's file system
            found[int(words[1])] = (words[4], words[5])
    return found


def _epoch(root: Path, sweep: Sweep, index: int) -> str:
    output = plan.folder_of(root, sweep.name) / f"{index}.log"
    if not output.exists():
        return ""
    told = re.findall(
        r"^epoch +(\d+/\d+)|^(training )", output.read_text(errors="replace"), re.MULTILINE
    )
    return f"epoch {told[-1][0]}" if told and told[-1][0] else ""
