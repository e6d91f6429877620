"""One experiment and its run: the stage `track`, and the way from an experiment to its run."""

import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from mnist_vae.errors import PipelineError
from mnist_vae.tracking import content as contents
from mnist_vae.tracking import origins, runs, summary, upsert
from mnist_vae.tracking.content import Content
from mnist_vae.tracking.repository import Repository, root
from mnist_vae.tracking.store import Store, errors, hide_password, open_store


def track(folder: Path, check: Callable[[], None]) -> str:
    """Make or complete the run of what the pipeline has just made in `folder`.

    `check` is called before anything is written, and raises if the inputs are not as they were.
    Returns a summary for people. Raises PipelineError, one line, if the store does not work or
    dvc.lock does not belong to the workspace.
    """
    with TemporaryDirectory() as described:  # what describes the run is read once
        for name in upsert.DESCRIPTION:
            if (folder / name).is_file():
                shutil.copyfile(folder / name, Path(described) / name)
        return _track(folder, Path(described), check)


def _track(folder: Path, described: Path, check: Callable[[], None]) -> str:
    there, fixed = contents.workspace(folder), contents.workspace(described)
    content = contents.load(lambda path: fixed(path) if path in upsert.DESCRIPTION else there(path))
    if content.problem:
        raise PipelineError(f"{content.problem}; run `dvc repro`")
    repository = Repository(root())
    places = origins.of(repository, content, origins.holding(repository, content), current=True)
    tags = origins.tags(repository, content, places)
    repeat = origins.primary(places).repeat
    store = open_store(repository.folder)
    with errors(store.uri):
        check()
        outcome = upsert.upsert(store, content, tags, repeat, present(described, folder))
        if store.embedded:
            _remove_superseded(store, repository, content)
        metrics = store.client.get_run(outcome.run_id).data.metrics
    repository.close()
    return "\n".join(
        [
            summary.headline(content, metrics),
            "pictures: plots/",
            f"MLflow run: {tags['mlflow.runName']}",
            f"  {store.address(outcome.run_id)}",
            *([f"  `{_program('mlflow')} ui` shows it"] if store.embedded else []),
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
    repository = Repository(root())
    where = name or "the workspace"
    if name is None:
        content = contents.load(contents.workspace(repository.folder))
    else:
        commit = repository.resolve(name)
        if not commit:
            raise PipelineError(
                f"{name} is no experiment and no revision; see `dvc exp list --all`"
            )
        content = contents.load(lambda path: repository.read(commit, path))
    repository.close()
    if content.problem:
        raise PipelineError(f"{where} has no results: {content.problem}")
    store = open_store(repository.folder)
    with errors(store.uri):
        run = runs.find(store, content)
    if run is None:
        raise PipelineError(
            f"{where} has no run in {hide_password(store.uri)}; `make rebuild` makes it"
        )
    return run.info.run_id, store.address(run.info.run_id)


def present(*folders: Path) -> upsert.Fetch:
    """Give the files of the folders, each from the first that has it."""

    def fetch(path: str) -> Path | None:
        return next((folder / path for folder in folders if (folder / path).is_file()), None)

    return fetch


def _remove_superseded(store: Store, repository: Repository, content: Content) -> None:
    """Delete runs of this code and these parameters whose results no commit holds any more.

    Training made them with other results, for example by `dvc repro --force` on a GPU.
    """
    others = [
        run
        for run in runs.of_key(store, content.key)
        if run.data.tags.get("dvc.results") not in (None, content.results)
    ]
    if others:
        kept = results_of(repository, content.key)
        for run in others:
            if run.data.tags["dvc.results"] not in kept:
                runs.remove(store, run.info.run_id)


def results_of(repository: Repository, key: str) -> Sequence[str]:
    """The results of a key that commits hold."""
    return [found.results for _, found in origins.discover(repository) if found.key == key]
