"""Bring one MLflow run up to date with one experiment: whatever is there already stays as it is."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_vae import history
from mnist_vae.experiments.outputs import md5
from mnist_vae.experiments.snapshot import DATA, EVALUATION, HISTORY, MODEL, Snapshot
from mnist_vae.tracking import environment, models, runs, summary
from mnist_vae.tracking import tags as run_tags
from mnist_vae.tracking.store import Store

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel, Run

DESCRIPTION = ("params.yaml", "dvc.yaml", "dvc.lock")
PURPOSES = {"train": "training", "validation": "validation", "test": "testing"}  # of the data
Fetch = Callable[[str], Path | None]  # a file's local copy; None if it is gone


@dataclass(frozen=True)
class Outcome:
    """The run, what was added to it, and the outputs that are gone."""

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
    """Make or complete the run of a snapshot that has results.

    tags: as `origins.tags` gives them. repeat: the command for the run's description. fetch: gives
    the snapshot's files. milliseconds: when the results were made; now, if nobody knows.
    """
    moment = milliseconds or _now()
    with store.lock(snapshot.key):
        writer = _Writer(store, snapshot, fetch, _find(store, snapshot, tags, moment))
        writer.history(moment)
        writer.datasets()
        texts = writer.evaluation(writer.models(), moment)
        writer.files()
        gone = ", ".join(writer.gone)
        trained = environment.recorded(store.root, snapshot.outputs[MODEL], snapshot.params)
        texts |= {run_tags.NOTE: writer.note(repeat), "dvc.gone": gone}
        writer.tags({**tags, **trained, **texts})
        if writer.run.info.status != "FINISHED":
            end = max(moment, writer.run.info.start_time)
            store.client.set_terminated(writer.run.info.run_id, "FINISHED", end)
            writer.added.append("status")
        return Outcome(writer.run.info.run_id, tuple(writer.added), tuple(writer.gone))


def _find(store: Store, snapshot: Snapshot, tags: Mapping[str, str], moment: int) -> "Run":
    """The snapshot's run, which may have been begun by training; or else a new one.

    Two machines that share a server can both make one: then the oldest stays.
    """
    mine = [
        run
        for run in runs.of_key(store, snapshot.key)
        if run.data.tags.get("dvc.results", snapshot.results) == snapshot.results
    ]
    if not mine:
        begun = {name: value for name, value in tags.items() if name != "dvc.results"}
        runs.create(store, snapshot, begun, moment)
        return _find(store, snapshot, tags, moment)
    # One that is complete is the one that others know.
    mine.sort(key=lambda run: "dvc.results" not in run.data.tags)
    for duplicate in mine[1:]:
        runs.remove(store, duplicate.info.run_id)
    return mine[0]


class _Writer:
    """Adds to one run what it lacks, and remembers what was added and what is gone."""

    def __init__(self, store: Store, snapshot: Snapshot, fetch: Fetch, run: "Run") -> None:
        self.store = store
        self.client = store.client
        self.snapshot = snapshot
        self.run = run
        self.added: list[str] = []
        self.gone: list[str] = []
        self._fetch = fetch

    def fetch(self, path: str) -> Path | None:
        """The output as dvc.lock has it; anything else counts as gone."""
        local = self._fetch(path)
        expected = self.snapshot.outputs.get(path)
        if local is None or (expected and md5(local.read_bytes()) != expected):
            self.gone.append(path)
            return None
        return local

    def history(self, moment: int) -> None:
        """All curves. A run with other points than the file's is replaced by a new one."""
        path = self.fetch(HISTORY)
        if path is None:
            return
        rows = history.parse(path.read_text(encoding="utf-8"))
        logged = self._log(rows, moment)
        if logged is None:
            runs.remove(self.store, self.run.info.run_id)
            tags = {k: v for k, v in self.run.data.tags.items() if k != "dvc.results"}
            self.run = runs.create(self.store, self.snapshot, tags, moment)
            logged = self._log(rows, moment)
        if logged:
            self.added.append("curves")

    def models(self) -> "dict[str, LoggedModel]":
        """Both models, logged once."""
        wanted = self.snapshot.outputs[MODEL]
        found = models.find(self.store, self.run, wanted)
        if set(found) == set(models.NAMES):
            return found
        weights = self.fetch(MODEL)
        if weights is None:
            return found
        for half in found.values():
            self.client.delete_logged_model(half.model_id)
        self.added.append("models")
        return models.log(self.store, self.run, weights, wanted)

    def evaluation(self, logged: "Mapping[str, LoggedModel]", moment: int) -> dict[str, str]:
        """The test metrics, linked with the model and the test set, as step 0.

        Returns what is text among them, which MLflow takes as tags.
        """
        from mlflow.entities import Metric

        path = self.fetch(EVALUATION)
        if path is None:
            return {}
        values = summary.flatten(json.loads(path.read_text(encoding="utf-8")))
        there = self.run.data.metrics
        vae = logged.get("vae")
        name, digest = self._dataset("test")
        new = [
            Metric(key, value, moment, 0, vae.model_id if vae else None, name, digest)
            for key, value in values.items()
            if not isinstance(value, str) and (key not in there or not runs.same(there[key], value))
        ]
        runs.log_metrics(self.store, self.run.info.run_id, new)
        if new:
            self.added.append("metrics")
        return {key: value for key, value in values.items() if isinstance(value, str)}

    def datasets(self) -> None:
        """The three splits with DVC's md5 as digest."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        there = {
            used.dataset.digest
            for used in (self.run.inputs.dataset_inputs if self.run.inputs else [])
        }
        new = []
        for split, purpose in PURPOSES.items():
            name, digest = self._dataset(split)
            if digest not in there:
                source = {"path": DATA[split], "md5": digest, "tool": "dvc"}
                new.append(
                    DatasetInput(
                        Dataset(name, digest, "dvc", json.dumps(source)),
                        [InputTag("mlflow.data.context", purpose)],
                    )
                )
        if new:
            self.client.log_inputs(self.run.info.run_id, new)
            self.added.append("datasets")

    def files(self) -> None:
        """Pictures, as files and in the UI's image grid, and what describes the experiment."""
        run_id = self.run.info.run_id
        plots = [path for path in self.snapshot.outputs if path.startswith("plots/")]
        there = {
            file.path
            for folder in ("plots", "images", "dvc")
            for file in self.client.list_artifacts(run_id, folder)
        }
        shown = {Path(path).name.split("+")[0] for path in there if path.endswith(".png")}
        for path in [*plots, *DESCRIPTION]:
            artifact = path if path in plots else f"dvc/{path}"
            grid = path.endswith(".png") and Path(path).stem not in shown
            if artifact in there and not grid:
                continue
            local = self.fetch(path)
            if local is None:
                continue
            if artifact not in there:
                self.client.log_artifact(run_id, str(local), str(Path(artifact).parent))
            if grid:
                self._show(run_id, local)
            self.added.append(path)

    def tags(self, wanted: Mapping[str, str]) -> None:
        """Set what differs, remove what nothing calls for."""
        from mlflow.entities import RunTag

        new, old = run_tags.changes(self.run.data.tags, wanted, shared=not self.store.embedded)
        run_id = self.run.info.run_id
        self.client.log_batch(run_id, tags=[RunTag(name, value) for name, value in new.items()])
        for name in old:
            self.client.delete_tag(run_id, name)
        self.added += sorted(new) + old

    def note(self, repeat: str) -> str:
        """The run's description: the headline and the command that repeats it."""
        metrics = self.client.get_run(self.run.info.run_id).data.metrics
        return "\n\n".join(
            filter(None, [summary.headline(self.snapshot, metrics), f"Repeat: `{repeat}`"])
        )

    def _log(self, rows: list[dict[str, float]], moment: int) -> int | None:
        run_id, protocol = self.run.info.run_id, self.snapshot.protocol
        there = runs.curves(self.store, run_id)
        return runs.log_rows(self.store, run_id, there, protocol, rows, moment.__add__)

    def _dataset(self, split: str) -> tuple[str, str]:
        return f"{self.snapshot.params['dataset']} {split}", self.snapshot.outputs[DATA[split]]

    def _show(self, run_id: str, picture: Path) -> None:
        from PIL import Image

        with Image.open(picture) as image:
            image.load()
            step = int(self.snapshot.params["epochs"])
            self.client.log_image(run_id, image, key=picture.stem, step=step)


def _now() -> int:
    return time.time_ns() // 1_000_000
