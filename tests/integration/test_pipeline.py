"""The pipeline as a user runs it: real DVC, real MNIST, in a temporary Git repository."""

import csv
import hashlib
import json
import math
from pathlib import Path

import pytest
from safetensors import safe_open

from tests.support import store_view
from tests.support.checkout import PICTURES, RESULTS, STAGES, outputs
from tests.support.sandbox import Project
from tests.support.trainings import NO_MLFLOW, OFF

pytestmark = store_view.IN_OUR_PROCESS
DECODED = """
import sys
import mlflow, numpy as np, torch
from mnist_vae import model
vae, z = model.load("models/vae.safetensors"), torch.randn(5, 2)
logits = vae.decode(z).detach()
stored = mlflow.pyfunc.load_model(sys.argv[1]).predict(z.numpy())
print(np.abs(stored - vae.pixels.mean(logits).numpy()).max() < 1e-5)
print(np.abs(stored - torch.sigmoid(logits).numpy()).max() > 0.05)
"""


def ran(output: str) -> list[str]:
    """The stages that DVC ran, in order; those from its cache are not among them."""
    return [
        line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage '")
    ]


def cached(output: str) -> list[str]:
    return [
        line.split("'")[1] for line in output.splitlines() if "is cached - skipping run" in line
    ]


def test_repro_makes_metrics_and_a_second_one_runs_nothing(
    copied: Project,
) -> None:
    metrics = json.loads((copied.folder / "metrics/evaluation.json").read_text())["greyscale"]
    assert metrics["test_elbo"] == pytest.approx(
        -(metrics["test_rate"] + metrics["test_distortion"])
    )
    assert -300 < metrics["test_elbo"] < -100
    again = copied.dvc("repro")
    assert ran(again) == []
    assert "Data and pipelines are up to date." in copied.dvc("status")
    assert copied.git("status", "--porcelain") == ""


def test_what_the_stages_write_is_what_dvc_yaml_declares(reproduced: Project) -> None:
    declared = {reproduced.folder / path for path in outputs()}
    assert all(path.exists() for path in declared)
    ours = {reproduced.folder / name for name in reproduced.git("ls-files", "data").splitlines()}
    for folder in {path.relative_to(reproduced.folder).parts[0] for path in declared}:
        for file in (reproduced.folder / folder).rglob("*"):
            if file.is_file() and file.name != ".gitignore" and file not in ours:
                assert declared & {file, *file.parents}, file


def test_another_latent_dim_trains_again_and_downloads_nothing(copied: Project) -> None:
    # 13: which no other test has put into the cache that all share
    output = copied.dvc("exp", "run", "-S", "latent_dim=13", **NO_MLFLOW)
    assert ran(output) == ["train", "evaluate", "plots", "report", "track"]
    back = copied.dvc("exp", "run", "-S", "latent_dim=2")
    assert ran(back) == ["track"]  # the rest comes from DVC's cache
    assert set(cached(back)) == {"train", "evaluate", "plots", "report"}
    assert copied.git("status", "--porcelain", "dvc.lock", "metrics") == ""  # bytes as committed


def test_all_images_and_convolutions_from_training_to_the_run(copied: Project) -> None:
    options = ("validation_images=0", "architecture=conv", "hidden_sizes=[2,2,8]", "epochs=1")
    copied.dvc("exp", "run", "--name", "all", *(part for one in options for part in ("-S", one)))
    with (copied.folder / "metrics/history.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["validation_elbo"] == ""
    assert float(row["train_elbo"]) < -100
    run = store_view.by_name(copied.folder)["all"]
    assert run.params["architecture"] == "conv"
    assert run.points["greyscale/test_elbo"][0][1] < -100
    assert not any("validation" in name for name in run.points)


def test_binarized_with_every_estimate_from_training_to_the_run(copied: Project) -> None:
    options = ("likelihood=binarized", "iwae_samples=20", "quadrature_points=60", "epochs=3")
    copied.dvc("exp", "run", *(part for one in options for part in ("-S", one)), **OFF)
    metrics = json.loads((copied.folder / "metrics/evaluation.json").read_text())
    assert set(metrics) == {"binarized"}
    test = metrics["binarized"]
    assert test["test_elbo"] < test["test_iwae_20"] < test["test_log_px"] + 0.5
    assert test["test_iwae_20_bits_per_dimension"] == pytest.approx(
        -test["test_iwae_20"] / (784 * math.log(2))
    )
    with safe_open(copied.folder / "data/processed/test.safetensors", "numpy") as arrays:
        pixels = arrays.get_tensor("binarized").tobytes()
    assert test["test_set_sha256"] == hashlib.sha256(pixels).hexdigest()


def test_continuous_bernoulli_from_training_to_the_run_and_apart_from_the_others(
    copied: Project,
) -> None:
    options = ("likelihood=continuous_bernoulli", "iwae_samples=20")
    name = ("--name", "grey")
    copied.dvc("exp", "run", *name, *(part for one in options for part in ("-S", one)), **OFF)
    metrics = json.loads((copied.folder / "metrics/evaluation.json").read_text())
    assert set(metrics) == {"continuous_bernoulli"}
    test = metrics["continuous_bernoulli"]
    assert 0 < test["test_elbo"] < test["test_iwae_20"]  # 0: the same density everywhere
    assert not any("bits" in name or "sha" in name for name in test)
    run = store_view.by_name(copied.folder)["grey"]
    assert run.points["continuous_bernoulli/test_elbo"][0][1] == test["test_elbo"]
    assert not any(name.startswith("greyscale") for name in run.points)
    store = f"sqlite:///{copied.folder / 'mlflow.db'}"
    uri = f"models:/{run.models['decoder'][0]}"
    said = copied.run("python", "-W", "ignore", "-c", DECODED, uri, MLFLOW_TRACKING_URI=store)
    assert said.splitlines()[-2:] == ["True", "True"]
    said = copied.command("compare", "HEAD", "grey", fails=True)
    assert "figures of two protocols cannot be compared" in said
    said = copied.command("rate-distortion", "--protocol", "continuous_bernoulli")
    assert f"| grey | 2 | {test['test_rate']:.2f} |" in said
    assert "no experiment has greyscale" in copied.command(
        "rate-distortion", "--protocol", "greyscale", fails=True
    )


def test_an_edited_plot_redraws_and_nothing_else(copied: Project) -> None:
    source = copied.folder / "src/mnist_vae/plots.py"
    source.write_text(source.read_text() + "\n# another thought\n")
    assert ran(copied.dvc("repro", "--dry")) == ["plots", "track"]


def test_an_edited_report_redraws_nothing(copied: Project) -> None:
    source = copied.folder / "src/mnist_vae/report.html.j2"
    source.write_text(source.read_text().replace("Once more", "Again"))
    assert ran(copied.dvc("repro", MNIST_VAE_TRACK="off")) == ["report", "track"]
    assert "<h2>Again</h2>" in (copied.folder / "report/report.html").read_text()


def test_an_edited_bound_trains_again(copied: Project) -> None:
    source = copied.folder / "src/mnist_vae/elbo.py"
    source.write_text(source.read_text() + "\n# another thought\n")
    assert ran(copied.dvc("repro", "--dry")) == ["train", "evaluate", "track"]


def test_small_learning_rates_as_dvc_writes_them(copied: Project) -> None:
    output = copied.dvc("exp", "run", "train", "-S", "learning_rate=1e-5", **OFF)
    assert "train" in ran(output)
    assert "learning_rate: 1e-05" in (copied.folder / "params.yaml").read_text()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("latent_dim=two", "latent_dim is 'two'; it must be a whole number from 1 to 512"),
        ("plot_dpi=1", "plot_dpi is 1; it must be a whole number from 50 to 600"),
        ("+latent_dims=3", "unknown key 'latent_dims'; did you mean latent_dim?"),
    ],
)
def test_a_wrong_parameter_stops_before_any_work(copied: Project, change: str, says: str) -> None:
    # The plot setting is wrong, training would be next: training says so and does not start.
    output = copied.run("dvc", "exp", "run", "-S", "seed=5", "-S", change, fails=True)
    assert f"error: params.yaml: {says}" in output
    assert "Traceback" not in output
    assert "epoch" not in output
    assert ran(output) == ["train"]


def test_every_stage_refuses_a_wrong_parameter_file(copied: Project) -> None:
    copied.set(dataset="mnits")
    for stage in STAGES:
        output = copied.run("python", "-m", "stages", stage, fails=True)
        assert "dataset is 'mnits'; it must be mnist or fashion-mnist" in output
        assert "Traceback" not in output
        assert len(output.strip().splitlines()) == 1


def test_plots_and_metrics_can_be_compared(copied: Project) -> None:
    copied.set(latent_dim=3)
    copied.dvc("repro", "plots", **OFF)
    difference = copied.dvc("metrics", "diff", "--json")
    changed = json.loads(difference)["metrics/evaluation.json"]
    assert changed["greyscale.test_elbo"]["diff"] != 0
    page = copied.dvc("plots", "diff", "HEAD")
    assert "index.html" in page
    html = (copied.folder / "dvc_plots/index.html").read_text()
    assert "validation_elbo" in html
    assert all(Path(picture).name in html for picture in PICTURES)
    assert copied.git("status", "--porcelain", "dvc_plots") == ""


def clone_of(project: Project, folder: Path, *options: str) -> Project:
    project.git("clone", "--quiet", *options, str(project.folder), str(folder))
    clone = Project(folder, project.mirror)
    cache = project.dvc("cache", "dir").strip()
    clone.dvc("config", "--local", "cache.dir", cache)
    return clone


def test_a_clone_that_gives_the_committed_bytes_has_its_run_after_one_repro(
    reproduced: Project, tmp_path: Path
) -> None:
    clone = clone_of(reproduced, tmp_path / "clone")
    clone.dvc("checkout")  # as after a pull: all results are there, and no run
    output = clone.dvc("repro", **OFF)
    assert ran(output) == ["track"]
    (run,) = store_view.runs(clone.folder).values()
    assert run.status == "FINISHED"
    assert "greyscale/test_elbo" in run.points
    assert "greyscale/train_elbo" in run.points
    assert ran(clone.dvc("repro")) == []
    assert "Data and pipelines are up to date." in clone.dvc("status")
    assert clone.git("status", "--porcelain") == ""
    assert f"identical: all {len(RESULTS)} outputs of the commit, byte for byte" in clone.command(
        "changes"
    )


def test_what_differs_from_the_commit_is_named(copied: Project) -> None:
    copied.set(knn_neighbours=3)
    copied.dvc("repro", **NO_MLFLOW)
    output = copied.command("changes", fails=True)
    # the metric, the neighbours behind it, their picture and the report
    assert f"within tolerance: 4 of {len(RESULTS)} outputs of the commit differ" in output
    assert "metrics/evaluation.json of stage evaluate: " in output
    assert "greyscale.test_knn_accuracy: " in output
    copied.set(picture_seed=1)
    copied.dvc("repro", "evaluate", **OFF)
    output = copied.command("changes", fails=True)
    assert "there is nothing to compare: dvc.lock" in output  # plots have not been drawn again


def test_a_checkout_for_windows_has_the_same_bytes(reproduced: Project, tmp_path: Path) -> None:
    clone = clone_of(reproduced, tmp_path / "clone", "--config", "core.autocrlf=true")
    names = reproduced.git("ls-files").splitlines()
    assert len(names) > 100
    for name in names:
        assert (clone.folder / name).read_bytes() == (reproduced.folder / name).read_bytes(), name
