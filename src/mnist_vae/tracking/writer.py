"""Write all that the MLflow run of one experiment shows."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from mnist_vae import history
from mnist_vae.experiments.outputs import md5
from mnist_vae.experiments.snapshot import DATA, EVALUATION, HISTORY, MODEL, Snapshot
from mnist_vae.tracking import models, runs, summary
from mnist_vae.tracking import tags as run_tags
from mnist_vae.tracking.seen import RESULTS
from mnist_vae.tracking.store import Store

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel, Run

DESCRIPTION = ("params.yaml", "dvc.yaml", "dvc.lock")
FOLDERS = ("plots/", "report/")  # of outputs that are shown as files, under the same names
PURPOSES = {"train": "training", "validation": "validation", "test": "testing"}  # of the data
GONE = "dvc.gone"
Fetch = Callable[[str], Path | None]  # a file's local copy; None if it is gone


class Writer:
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
        files = [*shown(self.snapshot), *DESCRIPTION]
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


def shown(snapshot: Snapshot) -> list[str]:
    """The outputs that a run shows as files; an older pipeline may have fewer."""
    return [path for path in snapshot.outputs if path.startswith(FOLDERS)]


def _has_data(run: "Run") -> bool:
    return bool(run.inputs and run.inputs.dataset_inputs)
