"""What a run's tags say about the places where its snapshot stands."""

import getpass
import subprocess
from pathlib import Path

import pytest

from mnist_vae.experiments.origins import Origin
from mnist_vae.experiments.repository import Repository
from mnist_vae.experiments.snapshot import Snapshot
from mnist_vae.tracking.tags import of as tags_of

CONTENT = Snapshot({"latent_dim": 2, "epochs": 3}, "code", "key", {"models/vae": "md5"}, "")


def test_an_experiment_with_the_baselines_values_is_of_the_baselines_sweep(tmp_path: Path) -> None:
    commit = Origin("commit", "main 1234567", "main", "1" * 40, "0" * 40, {"epochs": 3}, "repeat")
    same = Origin("experiment", "same", "main", "2" * 40, "1" * 40, {}, "repeat", "refs/exps/same")

    with Repository(tmp_path) as repository:
        tags = tags_of(repository, CONTENT, [same, commit])

    assert tags["mlflow.runName"] == "epochs=3 · main 1234567"
    assert tags["dvc.exp.name"] == "same"
    assert tags["dvc.exp.baseline"] == "1" * 40


def test_a_user_id_without_a_name_is_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr(getpass, "getuser", nobody)
    monkeypatch.setattr("os.getuid", lambda: 4711)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    here = Origin("workspace", "workspace", "main", "", "0" * 40, {}, "repeat")

    with Repository(tmp_path) as repository:
        assert tags_of(repository, CONTENT, [here])["mlflow.user"] == "uid 4711"
