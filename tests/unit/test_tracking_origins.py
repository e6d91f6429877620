"""What a run's tags say about the places where its content stands."""

from pathlib import Path

from mnist_vae.tracking import origins
from mnist_vae.tracking.content import Content
from mnist_vae.tracking.origins import Origin
from mnist_vae.tracking.repository import Repository

CONTENT = Content({"latent_dim": 2, "epochs": 3}, "code", "key", {"models/vae": "md5"}, "")


def test_an_experiment_with_the_baselines_values_is_of_the_baselines_sweep(tmp_path: Path) -> None:
    commit = Origin("commit", "main 1234567", "main", "1" * 40, "0" * 40, {"epochs": 3}, "repeat")
    same = Origin("experiment", "same", "main", "2" * 40, "1" * 40, {}, "repeat", "refs/exps/same")

    tags = origins.tags(Repository(tmp_path), CONTENT, [same, commit])

    assert tags["mlflow.runName"] == "epochs=3 · main 1234567"
    assert tags["dvc.exp.name"] == "same"
    assert tags["dvc.exp.baseline"] == "1" * 40
