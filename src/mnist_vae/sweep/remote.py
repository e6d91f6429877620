"""The Git remote of a sweep: which of its experiments are there, and how one gets there.

An experiment's outputs are pushed before its ref, so that a ref says that all of it is there.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from mnist_vae.errors import PipelineError
from mnist_vae.programs import run
from mnist_vae.sweep.plan import Sweep

PAUSES = (1, 2, 4, 8, 16, 32)  # seconds before something is tried again
T = TypeVar("T")


def held(sweep: Sweep, name: str = "*") -> dict[str, str]:
    """The experiments of that name (or all of the sweep's commit) on the remote: name -> commit."""
    listed = run(["git", "ls-remote", sweep.remote, f"{sweep.refs}{name}"], Path.cwd())
    found = (line.split("\t") for line in listed.splitlines())
    return {ref.removeprefix(sweep.refs): commit for commit, ref in found}


def push(sweep: Sweep, name: str, clone: Path, env: Mapping[str, str]) -> bool:
    """Push the outputs in a clone's workspace, and the ref of its experiment.

    False if another task has pushed one of that name in the meantime: the first one stays.
    """
    patiently(lambda: run(["dvc", "push", "--quiet"], clone, env))
    ref = f"{sweep.refs}{name}"

    def once() -> bool:
        try:
            lease = f"--force-with-lease={ref}:"
            said = run(["git", "push", "--porcelain", lease, "origin", ref], clone)
        except PipelineError:
            if held(sweep, name):
                return False
            raise
        # Two tasks that commit in the same second make the same commit: then Git pushes nothing.
        return any(line.startswith("*") for line in said.splitlines())

    return patiently(once)


def patiently(action: Callable[[], T]) -> T:
    """Do it, and after growing pauses again if it fails; the last failure is raised."""
    for pause in PAUSES:
        try:
            return action()
        except PipelineError:
            time.sleep(pause)
    return action()
