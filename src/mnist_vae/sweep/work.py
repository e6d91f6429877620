"""One point of a sweep, wherever this is called: the unit of work for any scheduler."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from mnist_vae import programs
from mnist_vae.errors import PipelineError
from mnist_vae.sweep import child, clone, plan, remote
from mnist_vae.sweep.child import Signals, Stopped
from mnist_vae.sweep.clone import Clone
from mnist_vae.sweep.plan import Sweep

DONE, FAILED, STOPPED = 0, 1, 75  # 75: EX_TEMPFAIL, try again
LOG = "log"  # in the sweep's folder: one line for what happened to a point
CHECKPOINTS = "MNIST_VAE_CHECKPOINTS"


def work(sweep: Sweep, index: int, project: Path | None) -> int:
    """Do a point: 0 if it is done or was, 75 if it was stopped and can go on elsewhere, or 1.

    The experiment is run in a clone on this machine's own disk and pushed; `project` is the folder
    that has the sweep's log and DVC settings, if there is one on this machine. Raises PipelineError
    only if there is no such point.
    """
    point = sweep.point(index)
    note = _Log(sweep, index, project)
    try:
        with Signals() as signals:
            if remote.patiently(lambda: remote.held(sweep, point.name)):
                note("done", "it was on the remote already")
                return DONE
            with clone.taken(sweep, project) as ours:
                note("started")
                note(*_do(sweep, index, ours, signals))
        return DONE
    except Stopped as stopped:
        note("stopped", str(stopped))
        return STOPPED
    except (PipelineError, OSError) as error:
        note("failed", " ".join(str(error).split()))
        return FAILED


def _do(sweep: Sweep, index: int, ours: Clone, signals: Signals) -> tuple[str, str]:
    """Run the experiment and push it; what came of it, and a remark."""
    point, project = sweep.point(index), ours.project
    env = _settings(sweep, ours)
    command = ["dvc", "exp", "run", "--pull", "--allow-missing", "--name", point.name]
    command += [part for setting in point.settings for part in ("--set-param", setting)]
    status, said = child.watch(command, project, env, signals, ours.lock, _show)
    made = programs.run(["git", "for-each-ref", f"{sweep.refs}{point.name}"], project)
    if signals.asked and (status or not made):  # else the signal came too late to stop anything
        raise Stopped(f"by {signals.asked}")
    if status:
        raise PipelineError(child.reason(said))
    if not made:
        return "same", "it changes nothing, so there is no experiment"
    if not remote.push(sweep, point.name, project, env):
        return "done", "another task was quicker"
    return "done", _shown(project, env)


def _shown(clone: Path, env: dict[str, str]) -> str:
    """Make the MLflow run on a server, if there is one; empty, or what went wrong.

    Only the task whose push came first does so: of two at once, both would write into one run.
    """
    if not env.get("MLFLOW_TRACKING_URI"):
        return ""
    track = [sys.executable, "-m", "stages", "track"]
    try:
        programs.run(track, clone, env | {"PYTHONPATH": "src", "MNIST_VAE_TRACK": "on"})
    except PipelineError as error:
        return f"but its MLflow run is not made yet, `vae sweep collect` will do that ({error})"
    return ""


def _settings(sweep: Sweep, ours: Clone) -> dict[str, str]:
    """For DVC and its stages; the experiment's MLflow run is made when it has been pushed."""
    env = programs.settings()
    env.setdefault(CHECKPOINTS, sweep.checkpoints)
    env["DVC_SITE_CACHE_DIR"] = str(ours.site)
    env["PYTHONUNBUFFERED"] = "1"
    env["MNIST_VAE_TRACK"] = "off"
    if not env.get("MLFLOW_TRACKING_URI"):
        env["MNIST_VAE_LIVE"] = "off"
    return env


def _show(line: str) -> None:
    print(line, end="", flush=True)


class _Log:
    """Appends to the sweep's log, if that is on this machine, and prints."""

    def __init__(self, sweep: Sweep, index: int, project: Path | None) -> None:
        self._index, self._name = index, sweep.point(index).name
        self._file = plan.folder_of(project, sweep.name) / LOG if project else None

    def __call__(self, state: str, detail: str = "") -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        node = os.environ.get("SLURMD_NODENAME") or os.uname().nodename
        words = [now, str(self._index), self._name, node, state, detail]
        line = "\t".join(words) + "\n"
        print(line, end="", flush=True)
        if self._file:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a", encoding="utf-8") as log:
                log.write(line)
