"""A user's own images through the whole pipeline: 8 x 8 digits, with labels and without."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from mnist_vae import model
from tests.integration.test_pipeline import clone_of, ran
from tests.integration.test_tracking_models import LOAD
from tests.support import store_view
from tests.support.checkout import PICTURES, RESULTS
from tests.support.sandbox import Project, make_project

pytestmark = store_view.IN_OUR_PROCESS
FOLDER = "data/some digits"
ACCURACIES = {"test_knn_accuracy", "test_linear_probe_accuracy"}


def draw(folder: Path, size: tuple[int, int] = (8, 8), by_class: bool = True) -> None:
    """200 of scikit-learn's digits as PNG files."""
    digits = load_digits()
    for number, (pixels, label) in enumerate(zip(digits.images[:200], digits.target, strict=False)):
        path = folder / (f"digit {label}" if by_class else "") / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(np.round(pixels * 255 / 16).astype(np.uint8))
        picture.resize(size, Image.Resampling.NEAREST).save(path)


def metrics(project: Project) -> dict[str, float]:
    found = json.loads((project.folder / "metrics/evaluation.json").read_text())
    return dict(found["greyscale"])


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose results are of labelled images that were added to DVC, committed."""
    folder = tmp_path_factory.mktemp("own")
    project = make_project(folder / "project", folder / "no mirror")
    draw(project.folder / FOLDER)
    own = {"dataset": "folder", "data_folder": FOLDER, "image_size": 8}
    project.set(**own, test_images=50, validation_images=30, batch_size=20, epochs=4)
    project.dvc("add", FOLDER)
    project.dvc("repro", MNIST_VAE_LIVE="off")
    project.commit("results")
    yield project
    shutil.rmtree(folder)


def test_labelled_images_have_all_that_mnist_has(lab: Project) -> None:
    found = metrics(lab)
    assert found.keys() > ACCURACIES
    assert -40 < found["test_elbo"] < -20  # 64 ln 2 = 44 nats for grey
    assert all((lab.folder / picture).stat().st_size > 1000 for picture in PICTURES)
    (run,) = store_view.runs(lab.folder).values()
    assert set(run.datasets) == {
        f"some digits {split}" for split in ("train", "validation", "test")
    }
    assert {f"greyscale/{name}" for name in ACCURACIES} <= run.points.keys()
    vae = model.load(lab.folder / "models/vae.safetensors")
    assert vae.size == 64
    x, z = np.random.default_rng(0).random((3, 64), np.float32), np.zeros((3, 2), np.float32)
    environment = {"MLFLOW_TRACKING_URI": f"sqlite:///{lab.folder / 'mlflow.db'}", "PYTHONPATH": ""}
    parts = []
    for name, inputs, size in (("vae", x, 64), ("decoder", z, 2)):
        uri = f"models:/{run.models[name][0]}"
        parts += [uri, json.dumps(inputs.tolist())]
        mlflow.set_tracking_uri(environment["MLFLOW_TRACKING_URI"])
        signature = mlflow.models.get_model_info(uri).signature
        assert [column.shape for column in signature.inputs.inputs] == [(-1, size)]
        assert [column.shape for column in signature.outputs.inputs] == [(-1, 64)]
    said = lab.run("python", "-W", "ignore", "-c", LOAD, *parts, **environment)
    (_, reconstructed), (_, decoded) = json.loads(said.splitlines()[-1])
    assert np.shape(reconstructed) == np.shape(decoded) == (3, 64)


def test_one_changed_image_runs_the_pipeline_again(lab: Project, tmp_path: Path) -> None:
    copy = lab.copy(tmp_path / "copy")
    assert ran(copy.dvc("repro", "--dry")) == []
    image = copy.folder / FOLDER / "digit 3/003.png"
    image.unlink()  # DVC may have linked it with its cache
    Image.new("L", (8, 8), 9).save(image)
    assert "preprocess" in copy.dvc("status", "preprocess")
    before = metrics(copy)
    assert ran(copy.dvc("repro", MNIST_VAE_LIVE="off"))[:2] == ["preprocess", "train"]
    assert metrics(copy) != before
    first, second = store_view.runs(copy.folder).values()
    assert first.tags["dvc.recipe"] != second.tags["dvc.recipe"]
    image.write_bytes(b"")
    output = copy.run("dvc", "repro", "preprocess", fails=True)
    assert f"error: {FOLDER}/digit 3/003.png is empty\n" in output
    assert "Traceback" not in output


def test_a_clone_and_a_verification_bring_the_images(lab: Project, tmp_path: Path) -> None:
    clone = clone_of(lab, tmp_path / "clone")
    clone.dvc("checkout")
    assert len(list((clone.folder / FOLDER).rglob("*.png"))) == 200
    assert ran(clone.dvc("repro", MNIST_VAE_LIVE="off")) == ["track"]
    assert clone.git("status", "--porcelain") == ""
    shutil.rmtree(clone.folder / FOLDER / "digit 0")  # the DVC cache still has them
    output = clone.command("verify", TMPDIR=str(tmp_path))
    assert f"identical: all {len(RESULTS)} outputs of HEAD, byte for byte" in output


def test_images_without_labels_of_an_odd_size_in_a_temporary_workspace(
    lab: Project, tmp_path: Path
) -> None:
    copy = lab.copy(tmp_path / "copy")
    draw(tmp_path / "plain", size=(20, 16), by_class=False)
    options = {
        "data_folder": tmp_path / "plain",
        "image_size": 9,
        "architecture": "conv",
        "hidden_sizes": [2, 3, 8],
        "likelihood": "binarized",
    }
    settings = [part for key, value in options.items() for part in ("-S", f"{key}={value}")]
    output = copy.dvc("exp", "run", "--temp", "--name", "plain", *settings, MNIST_VAE_LIVE="off")
    assert "200 images of another size, resized to 9 x 9, stretched to a square" in output
    (text,) = (
        copy.git("show", f"{ref}:metrics/evaluation.json")
        for ref in copy.git("for-each-ref", "--format=%(refname)", "refs/exps/*/*/*").splitlines()
        if ref.endswith("/plain")
    )
    found = json.loads(text)["binarized"]
    assert not ACCURACIES & found.keys()
    assert found["test_elbo"] < 0
    run = store_view.by_name(copy.folder)["plain"]
    assert set(run.datasets) == {f"plain {split}" for split in ("train", "validation", "test")}
    assert {f"plots/{Path(picture).name}" for picture in PICTURES} <= set(run.artifacts)
    shutil.rmtree(tmp_path / "plain")
    output = copy.command("verify", "plain", fails=True, TMPDIR=str(tmp_path))
    assert f"{tmp_path / 'plain'} is missing or holds other images than those" in output
