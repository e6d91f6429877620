"""The record of where weights were trained."""

import hashlib
from pathlib import Path

import pytest

from mnist_vae.experiments.outputs import md5
from mnist_vae.tracking import environment

TWO = {"device": "cpu", "threads": 2}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is a DVC project, with weights."""
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "weights").write_bytes(b"weights")
    (tmp_path / "requirements.lock").write_text("torch==1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return tmp_path


def test_what_training_notes_is_found_by_the_weights(project: Path) -> None:
    environment.record(Path("weights"), TWO, environment.describe("cpu"))

    md5 = hashlib.md5(b"weights").hexdigest()  # noqa: S324
    found = environment.recorded(project, md5, TWO)
    seconds = found.pop(environment.SECONDS)
    assert 0 <= int(seconds) < 3600
    assert found == environment.describe("cpu")
    assert found["env.device"] == "cpu"
    assert found["env.requirements.lock"] == hashlib.sha256(b"torch==1\n").hexdigest()
    assert environment.recorded(project, "0" * 32, TWO) == {}


def test_the_same_weights_from_another_number_of_threads_have_a_record_of_their_own(
    project: Path,
) -> None:
    for threads in (1, 2):
        tags = {"env.threads": str(threads)}
        environment.record(project / "weights", {**TWO, "threads": threads}, tags)
    weights = md5((project / "weights").read_bytes())
    assert environment.recorded(project, weights, TWO)["env.threads"] == "2"
    assert environment.recorded(project, weights, {**TWO, "threads": 1})["env.threads"] == "1"


def test_from_a_temporary_workspace_the_main_project_has_it(
    project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(project))
    workspace = tmp_path_factory.mktemp("workspace")
    (workspace / "weights").write_bytes(b"other")
    monkeypatch.chdir(workspace)

    environment.record(Path("weights"), TWO, environment.describe("cpu"))
    assert environment.recorded(project, md5(b"other"), TWO)
    assert [path.name for path in workspace.iterdir()] == ["weights"]


def test_training_never_fails_for_it(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / ".dvc/tmp").write_text("a file where a folder should be")
    environment.record(Path("weights"), TWO, environment.describe("cpu"))
    assert "warning: MLflow will not show the environment" in capsys.readouterr().err
