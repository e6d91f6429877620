"""The runs of an MLflow store: find them by snapshot, make them, add points, remove them."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from mnist_vae.experiments.snapshot import Snapshot
from mnist_vae.history import DIGITS
from mnist_vae.tracking import models
from mnist_vae.tracking.store import Store
from mnist_vae.tracking.tags import RUN_NAME, marks

if TYPE_CHECKING:
    from mlflow.entities import Metric, Run

Curves = dict[tuple[str, int], float]  # (name of the metric, epoch) -> value


def of_key(store: Store, key: str) -> "list[Run]":
    """The active runs of a key, the oldest first."""
    found = search(store, f"tags.`dvc.key` = '{key}'")
    return sorted(found, key=age)


def age(run: "Run") -> tuple[int, str]:
    """By which the oldest run is the first."""
    return run.info.start_time, run.info.run_id


def search(store: Store, condition: str) -> "list[Run]":
    """All active runs of the project that meet an MLflow search condition."""
    found: list[Run] = []
    token: str | None = None
    while token != "":
        page = store.client.search_runs([store.experiment_id], condition, page_token=token)
        found += page
        token = page.token or ""
    return found


def find(store: Store, snapshot: Snapshot) -> "Run | None":
    """The run of exactly this snapshot and these results."""
    same = [
        run
        for run in of_key(store, snapshot.key)
        if run.data.tags.get("dvc.results") == snapshot.results
    ]
    return same[0] if same else None


def remove(store: Store, run_id: str) -> None:
    """Delete a run with its models, as the UI does: `mlflow gc` frees the space."""
    for logged in models.of_run(store, run_id):
        store.client.delete_logged_model(logged.model_id)
    store.client.delete_run(run_id)


def create(store: Store, snapshot: Snapshot, tags: Mapping[str, str], moment: int) -> "Run":
    """A new run with all parameters, RUNNING. Call it with the lock of the key held."""
    from mlflow.entities import Param

    run = store.client.create_run(
        store.experiment_id, moment, {**marks(tags), **tags}, run_name=tags[RUN_NAME]
    )
    params = [Param(name, _text(value)) for name, value in snapshot.params.items()]
    for start in range(0, len(params), 100):
        store.client.log_batch(run.info.run_id, params=params[start : start + 100])
    return store.client.get_run(run.info.run_id)


def curves(store: Store, run_id: str) -> Curves:
    """All points that a run has."""
    keys = store.client.get_run(run_id).data.metrics
    return {
        (key, point.step): point.value
        for key in keys
        for point in store.client.get_metric_history(run_id, key)
    }


def log_rows(
    store: Store,
    run_id: str,
    there: Curves,
    protocol: str,
    rows: Iterable[Mapping[str, float]],
    moment: Callable[[int], int],
) -> int | None:
    """Log the points of the curves that the run lacks, and return how many those were.

    None if the run holds other values. there: what it has, `curves`, to which they are added.
    moment: when an epoch ended, in milliseconds. Call it with the lock of the run's key held.
    """
    from mlflow.entities import Metric

    points = {
        (f"{protocol}/{name}", int(row["epoch"])): value
        for row in rows
        for name, value in row.items()
        if name != "epoch"
    }
    if any(not same(value, there.get(point, value)) for point, value in points.items()):
        return None
    new = {point: value for point, value in points.items() if point not in there}
    metrics = [Metric(key, value, moment(step), step) for (key, step), value in new.items()]
    log_metrics(store, run_id, metrics)
    there.update(new)
    return len(new)


def log_metrics(store: Store, run_id: str, metrics: "Sequence[Metric]") -> None:
    for start in range(0, len(metrics), 800):  # the server takes 1000
        store.client.log_batch(run_id, metrics=metrics[start : start + 800])


def same(one: float, other: float) -> bool:
    """Equal as far as history.csv, with its few digits, can tell."""
    return math.isclose(one, other, rel_tol=10.0 ** (1 - DIGITS), abs_tol=1e-12)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
