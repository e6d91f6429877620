"""One experiment and its run: the stage `track`, and the way from an experiment to its run."""

import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from mnist_vae.errors import PipelineError
from mnist_vae.experiments import origins
from mnist_vae.experiments import snapshot as snapshots
from mnist_vae.experiments.repository import Repository, root
from mnist_vae.experiments.snapshot import Snapshot
from mnist_vae.tracking import about, runs, summary, upsert
from mnist_vae.tracking import tags as run_tags
from mnist_vae.tracking.faults import errors, hide_password
from mnist_vae.tracking.store import Store, open_store
from mnist_vae.tracking.writer import DESCRIPTION, Fetch


def track(folder: Path, check: Callable[[], None]) -> str:
    """Make or complete the run of what the pipeline has just made in `folder`.

    `check` is called before anything is written, and raises if the inputs are not as they were.
    Returns a summary for people. Raises PipelineError, one line, if the store does not work or
    dvc.lock does not belong to the workspace.
    """
    with TemporaryDirectory() as described:  # what describes the run is read once
        for name in DESCRIPTION:
            if (folder / name).is_file():
                shutil.copyfile(folder / name, Path(described) / name)
        return _track(folder, Path(described), check)


def _track(folder: Path, described: Path, check: Callable[[], None]) -> str:
    there, fixed = snapshots.workspace(folder), snapshots.workspace(described)
    snapshot = snapshots.load(lambda path: fixed(path) if path in DESCRIPTION else there(path))
    if snapshot.problem:
        raise PipelineError(f"{snapshot.problem}; run `dvc repro`")
    with Repository(root()) as repository:
        found = origins.of(
            repository, snapshot, origins.holding(repository, snapshot), current=True
        )
        tags = run_tags.of(repository, snapshot, found)
        repeat = origins.primary(found).repeat
        store = open_store(repository.folder)
        with errors(store.uri):
            check()
            about.describe(store)
            outcome = upsert.upsert(store, snapshot, tags, repeat, present(described, folder))
            if store.embedded:
                _remove_superseded(store, repository, snapshot)
            metrics = store.client.get_run(outcome.run_id).data.metrics
    return "\n".join(
        [
            summary.headline(snapshot, metrics),
            *filter(None, [summary.warning(snapshot.protocol, metrics)]),
            "report: report/report.html; pictures: plots/",
            f"MLflow run: {tags['mlflow.runName']}",
            f"  {store.address(outcome.run_id)}",
            *([f"  `{_program('vae')} ui` shows it"] if store.embedded else []),
        ]
    )


def _program(name: str) -> str:
    """How to call a program of this environment from the project's root, activated or not."""
    path = Path(sys.executable).parent / name
    return str(path.relative_to(root())) if path.is_relative_to(root()) else name


def run_of(name: str | None) -> tuple[str, str]:
    """The run's id and address of an experiment's name, a revision, or else the workspace.

    Raises PipelineError if the name is unknown or there is no such run.
    """
    where = name or "the workspace"
    with Repository(root()) as repository:
        if name is None:
            snapshot = snapshots.load(snapshots.workspace(repository.folder))
        else:
            commit = repository.resolve(name)
            if not commit:
                raise PipelineError(
                    f"{name} is no experiment and no revision; see `dvc exp list --all`"
                )
            snapshot = snapshots.load(lambda path: repository.read(commit, path))
    if snapshot.problem:
        raise PipelineError(f"{where} has no results: {snapshot.problem}")
    store = open_store(repository.folder)
    with errors(store.uri):
        run = runs.find(store, snapshot)
    if run is None:
        raise PipelineError(
            f"{where} has no run in {hide_password(store.uri)}; `vae rebuild` makes it "
            "(`vae rebuild --history` that of an older commit)"
        )
    return run.info.run_id, store.address(run.info.run_id)


def present(*folders: Path) -> Fetch:
    """Give the files of the folders, each from the first that has it."""

    def fetch(path: str) -> Path | None:
        return next((folder / path for folder in folders if (folder / path).is_file()), None)

    return fetch


def _remove_superseded(store: Store, repository: Repository, snapshot: Snapshot) -> None:
    """Delete runs of this code and these parameters whose results no commit holds any more.

    Training made them with other results, for example by `dvc repro --force` on a GPU.
    """
    others = [
        run
        for run in runs.of_key(store, snapshot.key)
        if run.data.tags.get("dvc.results") not in (None, snapshot.results)
    ]
    if others:
        kept = results_of(repository, snapshot.key)
        for run in others:
            if run.data.tags["dvc.results"] not in kept:
                runs.remove(store, run.info.run_id)


def results_of(repository: Repository, key: str) -> Sequence[str]:
    """The results of a key that commits hold."""
    return [found.results for _, found in origins.discover(repository) if found.key == key]
