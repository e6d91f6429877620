"""Training's live view in MLflow: rows of the history, once per epoch, at no cost to training.

A child process imports MLflow (seconds) and talks to the store. Training writes to a pipe that
never blocks, so that nothing about MLflow can slow it down or stop it. What the child misses,
the stage `track` adds. MNIST_VAE_LIVE=off turns the live view off.
"""

import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from mnist_vae.errors import PipelineError
from mnist_vae.experiments.repository import Repository, root
from mnist_vae.history import rounded

SWITCH = "MNIST_VAE_LIVE"
CLONE = "env.clone"  # the tag that says which clone trains: machine and folder


class Tracker:
    """Training's end of the pipe. Without a child, it does nothing."""

    def __init__(self, child: "subprocess.Popen[bytes] | None") -> None:
        self._child = child
        self._sent = 0

    def send(self, history: Sequence[Mapping[str, float]]) -> None:
        """Hand over the epochs that have not been handed over yet."""
        self._check()
        for row in history[self._sent :]:
            # with the digits of history.csv, so that a rebuilt store is the same
            if not self._write({"row": rounded(row), "time": _now()}):
                break  # the pipe is full; again after the next epoch
            self._sent += 1

    def end(self, status: str) -> None:
        """Training is over: FINISHED, FAILED or KILLED. The child goes on alone."""
        self._write({"end": status, "time": _now()})
        if self._child and self._child.stdin:
            with suppress(OSError):
                self._child.stdin.close()
        self._check()

    def _write(self, message: Mapping[str, object]) -> bool:
        if not self._child or not self._child.stdin:
            return False
        try:
            # Shorter than PIPE_BUF: written whole or not at all.
            os.write(self._child.stdin.fileno(), json.dumps(message).encode() + b"\n")
        except BlockingIOError:
            return False
        except OSError:  # the child has died, and has said why
            self._check()
            return False
        return True

    def _check(self) -> None:
        """Show the child's one complaint, if it has made it."""
        if self._child and self._child.stderr:
            try:
                complaint = os.read(self._child.stderr.fileno(), 4096)
            except OSError:  # none yet
                return
            if complaint:
                _warn(complaint.decode(errors="replace").strip())
            if complaint or self._child.poll() is not None:
                self._child = None


@contextmanager
def stream(environment: Mapping[str, str]) -> Iterator[Tracker]:
    """Show the training that goes on inside the block as an MLflow run.

    environment: its first tags, as `environment.describe` gives them.
    The run ends as FINISHED; as KILLED if training was asked to stop or this process dies; as
    FAILED at any other error. Training that goes on later continues the same run.

    Raises PipelineError if MNIST_VAE_LIVE is neither on nor off; nothing else of MLflow's stops
    training.
    """
    tracker = Tracker(_start(environment))
    try:
        yield tracker
    except BaseException as error:
        from mnist_vae.training import Interrupted

        asked = isinstance(error, Interrupted | KeyboardInterrupt)
        tracker.end("KILLED" if asked else "FAILED")
        raise
    tracker.end("FINISHED")


def _start(environment: Mapping[str, str]) -> "subprocess.Popen[bytes] | None":
    if not _wanted():
        return None
    try:
        first = json.dumps(_beginning(environment)).encode() + b"\n"
        source = Path(__file__).parents[2]
        child = subprocess.Popen(
            [sys.executable, "-m", "mnist_vae.tracking.live_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=root(),  # a temporary workspace can vanish before the child ends
            env={**os.environ, "PYTHONPATH": str(source), "PYTHONUNBUFFERED": "1"},
            process_group=0,  # a Ctrl-C for training must not reach the child
        )
        if child.stdin and child.stderr:  # always: they are pipes
            os.write(child.stdin.fileno(), first)
            os.set_blocking(child.stdin.fileno(), False)
            os.set_blocking(child.stderr.fileno(), False)
    except Exception as error:  # whatever it is, training goes on
        _warn(str(error) or type(error).__name__)
        return None
    return child


def _wanted() -> bool:
    given = os.environ.get(SWITCH) or "on"
    if given.lower() not in ("on", "off"):
        raise PipelineError(f"{SWITCH} is {given!r}; it must be on or off")
    return given.lower() == "on"


def _beginning(environment: Mapping[str, str]) -> dict[str, object]:
    """What must be read now: files can change or vanish while training runs."""
    from mnist_vae.experiments import origins
    from mnist_vae.experiments import snapshot as snapshots
    from mnist_vae.tracking import tags as run_tags

    with Repository(root()) as repository:
        begun = snapshots.load_inputs(snapshots.workspace(Path.cwd()))
        found = origins.of(repository, begun, (), current=True)
        address = f"{platform.node()}:{repository.folder}"
        clone = {CLONE: hashlib.sha256(address.encode()).hexdigest()[:12]}
        tags = {**run_tags.of(repository, begun, found), **environment, **clone}
    return {
        "params": begun.params,
        "code": begun.code,
        "key": begun.key,
        "tags": tags,
        "time": _now(),
    }


def _now() -> int:
    return time.time_ns() // 1_000_000


def _warn(complaint: str) -> None:
    print(f"warning: no live view in MLflow ({complaint})", file=sys.stderr)
