"""Make the MLflow run of one experiment: complete, or else made anew.

A run is complete when it has the tag `dvc.results`, which is set last, and its pictures, report and
models. What a crash left half made, or has lost its files, is replaced by a new run; the curves
that training has logged stay in their run.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_vae.experiments.snapshot import MODEL, Snapshot
from mnist_vae.tracking import environment, exports, models, runs, seen, summary
from mnist_vae.tracking import tags as run_tags
from mnist_vae.tracking.seen import RESULTS, Seen
from mnist_vae.tracking.store import Store
from mnist_vae.tracking.writer import GONE, Fetch, Writer, shown

if TYPE_CHECKING:
    from mlflow.entities import Run


@dataclass(frozen=True)
class Outcome:
    """The run, what was added to it or changed, and the outputs that are gone."""

    run_id: str
    added: tuple[str, ...]
    gone: tuple[str, ...]


def upsert(
    store: Store,
    snapshot: Snapshot,
    tags: Mapping[str, str],
    repeat: str,
    fetch: Fetch,
    milliseconds: int | None = None,
) -> Outcome:
    """Make the run of a snapshot that has results, or bring a complete one's tags up to date.

    tags: as `tags.of` gives them. repeat: the command for the run's description. fetch: gives
    the snapshot's files. milliseconds: when the results were made; now, if nobody knows.
    """
    moment = milliseconds or _now()
    with store.lock(snapshot.key):
        run = _one(store, snapshot)
        whole = run is not None and is_complete(
            run, snapshot, fetch, seen.whole(models.of_run(store, run.info.run_id))
        )
        if run is None or not whole:
            run = Writer(store, snapshot, fetch).write(run, tags, moment)
        if run.info.status != "FINISHED":
            end = max(moment, run.info.start_time)
            store.client.set_terminated(run.info.run_id, "FINISHED", end)
        changed = _tag(store, run, _wanted(store, run, snapshot, tags, repeat))
        added = tuple(changed) if whole else ("all that it shows",)
        return Outcome(run.info.run_id, added, _gone(run))


def settled(
    store: Store,
    there: Seen,
    snapshot: Snapshot,
    tags: Mapping[str, str],
    repeat: str,
    fetch: Fetch,
) -> Outcome | None:
    """What `upsert` would return, if by what was seen it would change nothing; else None."""
    mine = seen.of(there.runs.get(snapshot.key, []), snapshot)
    if len(mine) != 1 or mine[0].info.status != "FINISHED":
        return None
    run = mine[0]
    if not is_complete(run, snapshot, fetch, there.models.get(run.info.run_id, [])):
        return None
    wanted = _wanted(store, run, snapshot, tags, repeat)
    if any(run_tags.changes(run.data.tags, wanted, shared=not store.embedded)):
        return None
    return Outcome(run.info.run_id, (), _gone(run))


def is_complete(run: "Run", snapshot: Snapshot, fetch: Fetch, ready: Sequence[str]) -> bool:
    """Has the run all that the snapshot shows? Of what was gone, also if it is back.

    ready: the names of its whole models, each as often as it is there: two machines may have
    written into one run.
    """
    if run.data.tags.get(RESULTS) != snapshot.results:
        return False
    gone = set(_gone(run))
    if any(fetch(path) for path in gone):
        return False
    files = set(shown(snapshot)) - gone
    if MODEL not in gone and sorted(ready) != sorted(exports.NAMES):
        return False
    return files <= seen.files(run, {str(Path(path).parent) for path in files})


def _wanted(
    store: Store, run: "Run", snapshot: Snapshot, tags: Mapping[str, str], repeat: str
) -> dict[str, str]:
    """All tags that the run shall have: from where it stands, was trained, and what it shows."""
    trained = environment.recorded(store.root, snapshot.outputs[MODEL], snapshot.params)
    note = [summary.headline(snapshot, run.data.metrics), f"Repeat: `{repeat}`"]
    texts = {run_tags.NOTE: "\n\n".join(filter(None, note)), GONE: ", ".join(_gone(run))}
    return {**tags, **trained, **texts}


def _gone(run: "Run") -> tuple[str, ...]:
    """The outputs that were gone when it was written."""
    return tuple(filter(None, run.data.tags.get(GONE, "").split(", ")))


def _one(store: Store, snapshot: Snapshot) -> "Run | None":
    """The snapshot's run, which may have been begun by training; None if there is none.

    Two machines that share a server can both make one: then the oldest stays.
    """
    mine = seen.of(runs.of_key(store, snapshot.key), snapshot)
    mine.sort(key=lambda run: RESULTS not in run.data.tags)  # others know the complete one
    for duplicate in mine[1:]:
        runs.remove(store, duplicate.info.run_id)
    return mine[0] if mine else None


def _tag(store: Store, run: "Run", wanted: Mapping[str, str]) -> list[str]:
    """Set what differs, remove what nothing calls for; the results last. Returns the names."""
    from mlflow.entities import RunTag

    new, old = run_tags.changes(run.data.tags, wanted, shared=not store.embedded)
    run_id, results = run.info.run_id, new.pop(RESULTS, None)
    store.client.log_batch(run_id, tags=[RunTag(name, value) for name, value in new.items()])
    for name in old:
        store.client.delete_tag(run_id, name)
    if results:
        store.client.set_tag(run_id, RESULTS, results)
    return [*sorted(new), *old]


def _now() -> int:
    return time.time_ns() // 1_000_000
