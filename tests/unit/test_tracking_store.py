"""The store: where its files lie, who may open it when, and what its faults give away."""

import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from mnist_vae.experiments.snapshot import Snapshot
from mnist_vae.tracking import about, live_child, runs, store, tags
from mnist_vae.tracking.faults import StoreError, errors
from mnist_vae.tracking.live import CLONE
from tests.support import store_view
from tests.support.checkout import ROOT

pytestmark = store_view.IN_OUR_PROCESS


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    folder = tmp_path / "project"
    (folder / ".dvc").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)  # as in a temporary workspace, which goes away
    yield folder
    mlflow.set_tracking_uri("")


def open_store(project: Path, uri: str = "") -> store.Store:
    """As in a new process: MLflow puts the last address into the environment."""
    os.environ["MLFLOW_TRACKING_URI"] = uri
    try:
        return store.open_store(project)
    finally:
        del os.environ["MLFLOW_TRACKING_URI"]


def location(opened: store.Store) -> str:
    return str(opened.client.get_experiment(opened.experiment_id).artifact_location)


def test_files_lie_beside_the_database_and_never_in_the_current_folder(
    project: Path, tmp_path: Path
) -> None:
    assert location(open_store(project)) == (project / "mlflow-artifacts").as_uri()
    (tmp_path / "team").mkdir()
    team = open_store(project, f"sqlite:///{tmp_path}/team/a.db")
    assert location(team) == (tmp_path / "team/mlflow-artifacts").as_uri()
    other = open_store(project, f"sqlite+pysqlite:///{tmp_path}/b.db")
    assert location(other) == (project / "mlflow-artifacts").as_uri()


def test_only_the_place_beside_the_database_moves_with_it(project: Path) -> None:
    uri = f"sqlite:///{project / 'mlflow.db'}"
    chosen = MlflowClient(uri).create_experiment(store.EXPERIMENT, "mlflow-artifacts:/1")
    opened = open_store(project)  # as `mlflow server` on this database has made it
    assert opened.experiment_id == chosen
    assert location(opened) == "mlflow-artifacts:/1"
    moved = project.rename(project.with_name("moved"))
    assert location(open_store(moved)) == "mlflow-artifacts:/1"


def test_a_moved_project_takes_its_files_along(project: Path) -> None:
    open_store(project)
    moved = project.rename(project.with_name("moved_to 100"))
    assert location(open_store(moved)) == (moved / "mlflow-artifacts").as_uri()


def test_tables_of_a_version_that_nobody_tried_are_left_alone(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store(project)
    moved = project.rename(project.with_name("moved"))
    monkeypatch.setattr(store, "MOVABLE", ("2.0.", "2.1."))
    with pytest.raises(StoreError, match=r"only with MLflow 2.0.x, 2.1.x, not .*make rebuild"):
        open_store(moved)


def test_nobody_waits_for_another_who_opens_a_store_that_is_made(project: Path) -> None:
    open_store(project)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with store.file_lock(project, "store"):
            held.set()
            done.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(10)
    try:
        assert open_store(project).experiment_id
        busy = pytest.raises(StoreError, match="another process has been using the MLflow store")
        with busy, store.file_lock(project, "store", timeout=0.1):
            pass
    finally:
        done.set()
        holder.join()


def test_a_fault_gives_no_password_away() -> None:
    uri = "http://ada:secret@127.0.0.1:1"
    said = f"API request to {uri}/api/2.0/mlflow failed with exception HTTPConnectionPool"
    with pytest.raises(StoreError) as fault, errors(uri):
        raise MlflowException(said)
    assert "secret" not in str(fault.value)
    assert "API request to http://127.0.0.1:1/api/2.0/mlflow failed" in str(fault.value)


def test_a_run_that_another_clone_is_training_is_not_continued(project: Path) -> None:
    opened = open_store(project)
    snapshot = Snapshot({"likelihood": "greyscale"}, "code", "key", {}, "")
    tags = {"dvc.key": "key", "mlflow.runName": "one"}
    ours, theirs = ({**tags, CLONE: clone} for clone in ("ours", "theirs"))
    first = live_child._begin(opened, snapshot, theirs, 1)
    second = live_child._begin(opened, snapshot, ours, 2)
    assert first != second
    assert live_child._begin(opened, snapshot, ours, 3) == second  # goes on after a crash
    opened.client.set_terminated(first, "KILLED")
    opened.client.set_terminated(second, "KILLED")
    assert live_child._begin(opened, snapshot, ours, 4) == first  # nobody's now: the oldest
    assert {run.info.run_id for run in runs.of_key(opened, "key")} == {first, second}


def test_the_experiment_says_what_it_is_and_a_persons_text_stays(project: Path) -> None:
    opened = open_store(project)

    def text() -> str | None:
        return dict(opened.client.get_experiment(opened.experiment_id).tags).get(tags.NOTE)

    def write(said: str) -> None:
        opened.client.set_experiment_tag(opened.experiment_id, tags.NOTE, said)

    about.describe(opened)
    assert text() == about.TEXT
    before = opened.client.get_experiment(opened.experiment_id)
    about.describe(opened)
    assert dict(opened.client.get_experiment(opened.experiment_id)) == dict(before)
    for said in ("ours, for the paper", ""):
        write(said)
        about.describe(opened)
        assert text() == said


def test_a_text_that_stood_there_first_stays(project: Path) -> None:
    opened = open_store(project)
    opened.client.set_experiment_tag(opened.experiment_id, tags.NOTE, "the lab's page")
    about.describe(opened)
    assert opened.client.get_experiment(opened.experiment_id).tags[tags.NOTE] == "the lab's page"


def test_every_tag_that_is_set_is_explained(project: Path) -> None:
    code = "".join(path.read_text() for path in (ROOT / "src/mnist_vae/tracking").glob("*.py"))
    used = {name.rstrip(".") for name in re.findall(r'"(dvc\.[a-z.0-9]+|env\.|reproduced)', code)}
    shown = re.findall(r"`((?:dvc|env|reproduced)[a-z.0-9]*)", about.TEXT)
    named = {name.rstrip(".") for name in shown}
    silent = {"dvc", "dvc.yaml", "dvc.lock", "dvc.api", "dvc.exceptions"}
    marks = {name for name in used if name.startswith("dvc.wrote.")}
    assert used - silent - marks <= named
