"""Recipes over seeds: what is averaged, what is compared, and what is refused."""

import csv
import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from mnist_vae.experiments import snapshot as snapshots
from mnist_vae.experiments.outputs import md5
from mnist_vae.experiments.repository import Repository
from tests.support.sandbox import Project, wait_for

ARRAYS = "results/evaluation.safetensors"
EVALUATION = "metrics/evaluation.json"


def plant(
    project: Project,
    name: str,
    elbo: np.ndarray,
    others: Mapping[str, str] = MappingProxyType({}),
    **params: object,
) -> None:
    """An experiment on HEAD with these parameters and per-image ELBOs, as DVC would commit it.

    others: hashes of outputs that it has in place of HEAD's.
    """
    files = {file: (project.folder / file).read_text() for file in ("params.yaml", "dvc.lock")}
    metrics = json.loads((project.folder / EVALUATION).read_text())
    trained = md5(f"{params.get('seed')} {params.get('latent_dim')}".encode())
    weights = md5((project.folder / "models/vae.safetensors").read_bytes())
    for old, new in {weights: trained, **others}.items():
        files["dvc.lock"] = files["dvc.lock"].replace(old, new)
    for key, value in params.items():
        for file, text in files.items():
            files[file] = re.sub(rf"(?m)^(\s*){key}: .*$", rf"\g<1>{key}: {value}", text)
    arrays = load_arrays((project.folder / ARRAYS).read_bytes())
    content = save_arrays(arrays | {"elbo_per_image": elbo.astype(np.float64)})
    cache = Path(project.dvc("config", "cache.dir").strip()) / "files/md5"
    place = cache / md5(content)[:2] / md5(content)[2:]
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(content)
    metrics["greyscale"]["test_elbo"] = float(elbo.mean())
    metrics_text = json.dumps(metrics, indent=2) + "\n"
    for file, new in ((ARRAYS, md5(content)), (EVALUATION, md5(metrics_text.encode()))):
        old = md5((project.folder / file).read_bytes())
        files["dvc.lock"] = files["dvc.lock"].replace(old, new)
    for file, text in {**files, EVALUATION: metrics_text}.items():
        (project.folder / file).write_text(text)
    head = project.git("rev-parse", "HEAD")
    project.git("add", "--update")
    commit = project.git("commit-tree", "-p", head, "-m", name, project.git("write-tree"))
    project.git("update-ref", f"refs/exps/{head[:2]}/{head[2:]}/{name}", commit)
    project.git("reset", "--quiet", "--hard")


@pytest.fixture(scope="module")
def lab(reproduced: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Two recipes of three seeds each, with ELBOs that we know; two draw or count anew."""
    project = reproduced.copy(tmp_path_factory.mktemp("evidence") / "project")
    chance = np.random.default_rng(0)
    images = chance.normal(-100, 20, 10_000)
    for seed in (11, 12, 13):
        noise = chance.normal(0, 1, 10_000)
        plant(project, f"plain-{seed}", images + noise + seed, seed=seed, latent_dim=4)
        better = images + noise + seed + 2 + chance.normal(0, 3, 10_000) + (seed - 12) / 10
        plant(project, f"better-{seed}", better, seed=seed, latent_dim=5)
    plant(project, "plain-11-z-pictures", images, seed=11, latent_dim=4, picture_seed=1)
    plant(project, "plain-11-z-split", images, seed=11, latent_dim=4, split_seed=1)  # as it was
    return project


def elbos(project: Project, name: str) -> np.ndarray:
    commit = project.git("for-each-ref", "--format=%(objectname)", f"refs/exps/**/{name}")
    lock = project.git("show", f"{commit}:dvc.lock")
    (found,) = re.findall(
        rf"path: {ARRAYS}\n\s+hash: md5\n\s+md5: (\w+)\n\s+size.*\n  plots:", lock
    )
    cache = Path(project.dvc("config", "cache.dir").strip())
    return load_arrays((cache / "files/md5" / found[:2] / found[2:]).read_bytes())["elbo_per_image"]


def test_a_recipe_is_averaged_over_its_seeds(lab: Project) -> None:
    said = json.loads(lab.command("seeds", "plain-12", "--json"))
    (recipe,) = said["recipes"]
    assert recipe["experiments"] == ["plain-11", "plain-12", "plain-13"]
    means = [elbos(lab, f"plain-{seed}").mean() for seed in (11, 12, 13)]
    found = recipe["metrics"]["test_elbo"]
    assert found["n"] == 3
    assert found["mean"] == pytest.approx(np.mean(means))
    assert found["sd"] == pytest.approx(np.std(means, ddof=1))
    rows = list(csv.DictReader(io.StringIO((lab.folder / "metrics/history.csv").read_text())))
    validation = recipe["metrics"]["validation_elbo"]
    assert validation["mean"] == pytest.approx(float(rows[-1]["validation_elbo"]))
    assert "validation_elbo" in lab.command("seeds", "plain-12")


def test_a_difference_is_paired_by_images_and_seeds(lab: Project, tmp_path: Path) -> None:
    said = json.loads(lab.command("compare", "better-11", "plain-13", "--json"))
    apart = np.stack(
        [elbos(lab, f"better-{seed}") - elbos(lab, f"plain-{seed}") for seed in (11, 12, 13)]
    )
    found = said["test_elbo_difference"]
    assert found["mean"] == pytest.approx(apart.mean())
    assert found["se_by_images"] == pytest.approx(apart.mean(0).std(ddof=1) / 100)
    assert found["se_by_seeds"] == pytest.approx(apart.mean(1).std(ddof=1) / 3**0.5)
    assert found["se"] == pytest.approx(np.hypot(found["se_by_images"], found["se_by_seeds"]))
    assert (found["images"], found["pairs_of_seeds"]) == (10_000, 3)
    assert found["se"] < 0.1  # unpaired, the images alone would leave 0.3
    inside = Project(lab.folder / "docs", lab.mirror)
    inside.environment = lab.environment | {"PYTHONPATH": str(lab.folder / "src")}
    told = inside.command("compare", "better-11", "plain-13", "--output", str(tmp_path / "c.png"))
    assert f"10,000 images and the same 3 seeds: {apart.mean():+.3f} ± " in told
    assert (tmp_path / "c.png").stat().st_size > 10_000
    table = lab.command("compare", "better-11", "plain-13", "HEAD", "--markdown")
    assert table.splitlines()[0] == "| metric | better-11 | plain-13 | HEAD |"


def test_without_a_common_seed_the_difference_says_so(lab: Project) -> None:
    said = json.loads(lab.command("compare", "better-11", "HEAD", "--json"))
    assert said["test_elbo_difference"]["pairs_of_seeds"] == 0
    assert said["test_elbo_difference"]["se_by_seeds"] is None  # HEAD has one seed
    assert "no common seed" in lab.command("compare", "better-11", "HEAD")


def test_a_recipe_is_named_by_its_tag(lab: Project) -> None:
    commit = lab.git("for-each-ref", "--format=%(objectname)", "refs/exps/**/plain-13")
    with Repository(lab.folder) as repository:
        snapshot = snapshots.load(lambda path: repository.read(commit, path))
    by_name = json.loads(lab.command("compare", "plain-13", "better-11", "--json"))
    for tag in (snapshot.recipe, snapshot.recipe[:7]):
        by_tag = json.loads(lab.command("compare", tag, "better-11", "--json"))
        assert by_tag["recipes"][0]["name"] == tag
        assert by_tag["recipes"][0]["metrics"] == by_name["recipes"][0]["metrics"]
        assert by_tag["test_elbo_difference"] == by_name["test_elbo_difference"]
    assert "neither a revision nor" in lab.command("compare", "0123456", "HEAD", fails=True)


def test_without_the_images_in_the_cache_there_is_a_table(lab: Project, tmp_path: Path) -> None:
    project = lab.copy(tmp_path / "copy")
    empty = str(tmp_path / "cache")
    project.dvc("config", "--local", "cache.dir", empty)
    said = project.command("compare", "plain-11", "better-11", fails=True)
    assert "test_elbo" in said
    assert f"{ARRAYS} of" in said.splitlines()[-1]


def test_what_cannot_be_compared_is_refused(lab: Project) -> None:
    elbo = elbos(lab, "plain-11")
    tested = md5((lab.folder / "data/processed/test.safetensors").read_bytes())
    plant(lab, "others", elbo, {tested: md5(b"other images")}, seed=21)
    said = lab.command("compare", "plain-11", "others", fails=True)
    assert "others and plain-11 have different test sets" in said
    plant(lab, "binarized", elbo, likelihood="binarized")
    said = lab.command("compare", "plain-11", "binarized", fails=True)
    assert "figures of two protocols cannot be compared" in said
    assert "neither a revision nor" in lab.command("compare", "nothing", "HEAD", fails=True)
    assert "--output draws" in lab.command("compare", "HEAD", "--output", "x.png", fails=True)


def test_missing_seeds_are_queued_once_and_then_averaged(copied: Project) -> None:
    said = copied.command("seeds", "-n", "2")
    assert "1 of 2 seeds are there; in DVC's queue: seed-1" in said
    copied.command("seeds", "-n", "2")
    assert copied.dvc("queue", "status").count("seed-1") == 1
    copied.dvc("queue", "start", MNIST_VAE_LIVE="off", MNIST_VAE_TRACK="off")
    wait_for(lambda: "seed-1" in copied.git("for-each-ref", "refs/exps"), seconds=300)
    said = copied.command("seeds", "-n", "2")
    assert "(n = 2)" in said
    assert "queue" not in said
    wait_for(lambda: "0 active, 0 idle" in copied.dvc("queue", "status"))
    copied.set(latent_dim=9)
    code = copied.folder / "src/mnist_vae/elbo.py"
    code.write_text(code.read_text() + "# another\n")
    assert "other code" in copied.command("seeds", "-n", "3", fails=True)
