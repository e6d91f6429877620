"""What a store holds, read at once: with a thousand runs, to ask for each would take minutes."""

import gc
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mnist_vae.experiments.snapshot import Snapshot
from mnist_vae.tracking import models, runs
from mnist_vae.tracking.store import Store

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel, Run

RESULTS = "dvc.results"  # the tag that a complete run gets last


@dataclass(frozen=True)
class Seen:
    """The project's runs by their key, the oldest first, and the names of each run's whole models.

    Others write meanwhile: what shall be changed is read again, with the lock of its key held.
    """

    runs: "Mapping[str, list[Run]]"
    models: Mapping[str, list[str]]

    @property
    def ids(self) -> list[str]:
        return [run.info.run_id for found in self.runs.values() for run in found]


def look(store: Store) -> Seen:
    """Read the store."""
    # Of a thousand runs come a quarter of a million objects, and all stay: to look for garbage
    # among them takes longer than to read them.
    gc.disable()
    try:
        read, logged = runs.search(store, "tags.`dvc.key` != ''"), models.of_all(store)
        gc.freeze()
    finally:
        gc.enable()
    found: dict[str, list[Run]] = {}
    for run in read:
        found.setdefault(run.data.tags["dvc.key"], []).append(run)
    made: dict[str, list[LoggedModel]] = {}
    for model in logged:
        made.setdefault(str(model.source_run_id), []).append(model)
    ordered = {key: sorted(some, key=runs.age) for key, some in found.items()}
    return Seen(ordered, {run_id: whole(some) for run_id, some in made.items()})


def of(found: "Iterable[Run]", snapshot: Snapshot) -> "list[Run]":
    """The runs of a key that have the snapshot's results, or none yet."""
    results = snapshot.results
    return [run for run in found if run.data.tags.get(RESULTS, results) == results]


def whole(found: "Iterable[LoggedModel]") -> list[str]:
    """The names of the models that are written to their end."""
    return [str(model.name) for model in found if str(model.status) == "READY"]


def files(run: "Run", folders: Iterable[str]) -> set[str]:
    """The paths of a run's artifacts in these folders.

    From its own place: MLflow's client would look for models' artifacts as well, twenty times as
    long.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    place = get_artifact_repository(run.info.artifact_uri)
    return {str(file.path) for folder in folders for file in place.list_artifacts(folder)}
