"""What an MLflow store says, read through MLflow's own client, as plain values to compare."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType

from tests.support.sandbox import Project

# For a test module that uses MLflow itself, where warnings are errors.
IN_OUR_PROCESS = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # third parties, at import
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # SQLAlchemy's pool
]
Points = dict[str, list[tuple[int, float, int]]]


@dataclass
class RunView:
    """One active run; points are (step, value, time)."""

    id: str
    name: str
    status: str
    times: tuple[int, int | None]
    params: dict[str, str]
    points: Points
    tags: dict[str, str]
    artifacts: list[str]
    models: dict[str, tuple[str, dict[str, float]]]
    datasets: dict[str, str]

    def content(self) -> tuple[Any, ...]:
        """All that a rebuilt store must have again: no ids, no times, not where it was trained."""
        points = {key: [point[:2] for point in points] for key, points in self.points.items()}
        tags = {name: value for name, value in self.tags.items() if not name.startswith("env.")}
        files = sorted(path.split("+timestamp")[0] for path in self.artifacts)
        models = {name: metrics for name, (_, metrics) in self.models.items()}
        return self.name, self.status, self.params, points, tags, files, models, self.datasets


def runs(project: Path, database: str = "mlflow.db") -> dict[str, RunView]:
    """All active runs of a project's store by key and results; fails if two share them."""
    with tempfile.TemporaryDirectory() as folder:  # SQLAlchemy would go on with a deleted file
        copy = shutil.copy(project / database, folder)
        return runs_at(f"sqlite:///{copy}")


def runs_at(uri: str) -> dict[str, RunView]:
    """As `runs`, of any store."""
    client = MlflowClient(uri)
    found: dict[str, RunView] = {}
    for experiment in client.search_experiments(view_type=ViewType.ACTIVE_ONLY):
        for run in client.search_runs([experiment.experiment_id]):
            view = _view(client, experiment.experiment_id, run.info.run_id)
            identity = view.tags["dvc.key"] + view.tags.get("dvc.results", "")
            assert identity not in found, f"two runs: {view.name}, {found[identity].name}"
            found[identity] = view
    return found


def by_name(project: Path) -> dict[str, RunView]:
    """All active runs by the experiment in their name, or else the whole name."""
    return {run.name.split(" · ")[-1]: run for run in runs(project).values()}


def newest(project: Project) -> RunView:
    """The active run that began last."""
    return max(runs(project.folder).values(), key=lambda run: run.times[0])


def _view(client: MlflowClient, experiment: str, run_id: str) -> RunView:
    run = client.get_run(run_id)
    points: Points = {
        key: [(m.step, m.value, m.timestamp) for m in client.get_metric_history(run_id, key)]
        for key in run.data.metrics
    }
    models = {}
    for model in client.search_logged_models([experiment], f"source_run_id = '{run_id}'"):
        assert model.name not in models, f"two models: {model.name}"
        assert model.status == "READY"
        metrics = {metric.key: metric.value for metric in model.metrics or []}
        models[str(model.name)] = (model.model_id, metrics)
    linked = {output.model_id for output in run.outputs.model_outputs}
    assert linked == {model_id for model_id, _ in models.values()}
    datasets = {used.dataset.name: used.dataset.digest for used in run.inputs.dataset_inputs}
    return RunView(
        run_id,
        run.info.run_name,
        run.info.status,
        (run.info.start_time, run.info.end_time),
        run.data.params,
        points,
        run.data.tags,
        sorted(_artifacts(client, run_id)),
        models,
        datasets,
    )


def _artifacts(client: MlflowClient, run_id: str, folder: str | None = None) -> list[str]:
    found = []
    for file in client.list_artifacts(run_id, folder):
        found += _artifacts(client, run_id, file.path) if file.is_dir else [file.path]
    return found
