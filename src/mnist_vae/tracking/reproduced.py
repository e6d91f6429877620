"""A run of the MLflow store, run again: from its id to the commit, and the verdict as its tags."""

import datetime
import platform
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_vae import arithmetic
from mnist_vae.errors import PipelineError
from mnist_vae.experiments.repository import Repository
from mnist_vae.reproduce import Rerun
from mnist_vae.tracking import runs
from mnist_vae.tracking.faults import errors
from mnist_vae.tracking.store import Store, open_store

if TYPE_CHECKING:
    from mlflow.entities import Run

RUN_ID = re.compile("[0-9a-f]{32}")
VERDICT, DATE, CPU = "reproduced", "reproduced.date", "reproduced.cpu"  # not ours to tidy: no dvc.


def revision(root: Path, name: str) -> str:
    """The commit of an MLflow run's id; any other name as it is.

    Raises PipelineError if there is no such run, or if its code is in no commit of this clone.
    """
    if not RUN_ID.fullmatch(name):
        return name
    store = open_store(root)
    with errors(store.uri):
        tags = store.client.get_run(name).data.tags
    commit = tags.get("mlflow.source.git.commit", "")
    if not commit or tags.get("mlflow.source.git.dirty") != "false":
        raise PipelineError(f"run {name} is of no commit: its code was never committed")
    with Repository(root) as repository:
        if not repository.commit(commit):
            raise PipelineError(
                f"run {name} is of commit {commit[:7]}, which this clone does not have; fetch it, "
                "or `dvc exp pull` its experiment"
            )
    return commit


def of(root: Path, rerun: Rerun) -> "tuple[Store, Run | None]":
    """The store, and the run that a rerun belongs to; none if nobody made it there."""
    store = open_store(root)
    with errors(store.uri):
        return store, runs.find(store, rerun.snapshot)


def record(store: Store, run: "Run", rerun: Rerun) -> None:
    """Note the verdict, the date and the type of CPU as tags of the run."""
    values = {
        VERDICT: rerun.verdict.kind,
        DATE: datetime.datetime.now(datetime.UTC).date().isoformat(),
        CPU: cpu(),
    }
    with errors(store.uri):
        for name, value in values.items():
            store.client.set_tag(run.info.run_id, name, value)


def cpu() -> str:
    """The type of this machine's CPU, for people."""
    return arithmetic.cpu("model name") or platform.processor() or platform.machine()
