"""Make the MLflow run of one experiment: complete, or else made anew.

A run is complete when it has the tag `dvc.results`, which is set last, and its pictures, report and
models. What a crash left half made, or has lost its files, is replaced by a new run; the curves
that training has logged stay in their run.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from mnist_vae import history
from mnist_vae.experiments.outputs import md5
from mnist_vae.experiments.snapshot import DATA, EVALUATION, HISTORY, MODEL, Snapshot
from mnist_vae.tracking import environment, exports, models, runs, seen, summary
from mnist_vae.tracking import tags as run_tags
from mnist_vae.tracking.seen import RESULTS, Seen
from mnist_vae.tracking.store import Store

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel, Run

DESCRIPTION = ("params.yaml", "dvc.yaml", "dvc.lock")
FOLDERS = ("plots/", "report/")  # of outputs that are shown as files, under the same names
PURPOSES = {"train": "training", "validation": "validation", "test": "testing"}  # of the data
GONE = "dvc.gone"
Fetch = Callable[[str], Path | None]  # a file's local copy; None if it is gone


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
            run = _Writer(store, snapshot, fetch).write(run, tags, moment)
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
    files = set(_shown(snapshot)) - gone
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


class _Writer:
    """Writes one run, and remembers what is gone."""

    def __init__(self, store: Store, snapshot: Snapshot, fetch: Fetch) -> None:
        self.store = store
        self.client = store.client
        self.snapshot = snapshot
        self.gone: list[str] = []
        self._fetch = fetch

    def write(self, begun: "Run | None", tags: Mapping[str, str], moment: int) -> "Run":
        """The run with all but its last tags: in the one that training has begun, or a new one."""
        table = self.fetch(HISTORY)
        rows = history.parse(table.read_text(encoding="utf-8")) if table else []
        run = begun
        if run is None or _has_data(run) or not self._curves(run, rows, moment):
            carried: dict[str, str] = {}
            if run is not None:
                carried = run_tags.of_others(run.data.tags)
                runs.remove(self.store, run.info.run_id)
            first = {name: value for name, value in tags.items() if name != RESULTS}
            run = runs.create(self.store, self.snapshot, {**first, **carried}, moment)
            self._curves(run, rows, moment)
        run_id = run.info.run_id
        files = [*_shown(self.snapshot), *DESCRIPTION]
        with tqdm(total=len(files) + 2, desc="MLflow run", disable=None, leave=False) as bar:
            self._data(run_id)
            texts = self._evaluation(run_id, self._models(run), moment)
            bar.update(2)
            for path in files:
                self._file(run_id, path)
                bar.update()
        for name, value in {**texts, GONE: ", ".join(self.gone)}.items():
            self.client.set_tag(run_id, name, value)
        return self.client.get_run(run_id)

    def fetch(self, path: str) -> Path | None:
        """The output as dvc.lock has it; anything else counts as gone."""
        local = self._fetch(path)
        expected = self.snapshot.outputs.get(path)
        if local is None or (expected and md5(local.read_bytes()) != expected):
            self.gone.append(path)
            return None
        return local

    def _curves(self, run: "Run", rows: list[history.Row], moment: int) -> bool:
        """Add the points that the run lacks; False if it has others."""
        run_id, protocol = run.info.run_id, self.snapshot.protocol
        there = runs.curves(self.store, run_id)
        added = runs.log_rows(self.store, run_id, there, protocol, rows, moment.__add__)
        return added is not None

    def _data(self, run_id: str) -> None:
        """The three splits with DVC's md5 as digest. Once they are there, the writing has begun."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        used = []
        for split, purpose in PURPOSES.items():
            name, digest = self._dataset(split)
            source = json.dumps({"path": DATA[split], "md5": digest, "tool": "dvc"})
            context = [InputTag("mlflow.data.context", purpose)]
            used.append(DatasetInput(Dataset(name, digest, "dvc", source), context))
        self.client.log_inputs(run_id, used)

    def _models(self, run: "Run") -> "dict[str, LoggedModel]":
        weights = self.fetch(MODEL)
        if weights is None:
            return {}
        return models.log(self.store, run, weights, self.snapshot.outputs[MODEL])

    def _evaluation(
        self, run_id: str, logged: "Mapping[str, LoggedModel]", moment: int
    ) -> dict[str, str]:
        """The test metrics, linked with the model and the test set, as step 0.

        Returns what is text among them, which MLflow takes as tags.
        """
        from mlflow.entities import Metric

        path = self.fetch(EVALUATION)
        if path is None:
            return {}
        values = summary.flatten(json.loads(path.read_text(encoding="utf-8")))
        model = logged["vae"].model_id if logged else None
        test = self._dataset("test")
        numbers = [
            Metric(key, value, moment, 0, model, *test)
            for key, value in values.items()
            if not isinstance(value, str)
        ]
        runs.log_metrics(self.store, run_id, numbers)
        return {key: value for key, value in values.items() if isinstance(value, str)}

    def _file(self, run_id: str, path: str) -> None:
        """A picture, also in the UI's image grid, the report, or what describes the experiment."""
        if local := self.fetch(path):
            folder = str(Path(path).parent) if path.startswith(FOLDERS) else "dvc"
            self.client.log_artifact(run_id, str(local), folder)
            if path.endswith(".png"):
                self._show(run_id, local)

    def _dataset(self, split: str) -> tuple[str, str]:
        return f"{self.snapshot.dataset} {split}", self.snapshot.outputs[DATA[split]]

    def _show(self, run_id: str, picture: Path) -> None:
        from PIL import Image

        with Image.open(picture) as image:
            image.load()
            step = int(self.snapshot.params["epochs"])
            self.client.log_image(run_id, image, key=picture.stem, step=step)


def _shown(snapshot: Snapshot) -> list[str]:
    """The outputs that a run shows as files; an older pipeline may have fewer."""
    return [path for path in snapshot.outputs if path.startswith(FOLDERS)]


def _has_data(run: "Run") -> bool:
    return bool(run.inputs and run.inputs.dataset_inputs)


def _now() -> int:
    return time.time_ns() // 1_000_000
