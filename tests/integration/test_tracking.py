"""MLflow shows every DVC experiment exactly once, however it was made, and can be rebuilt."""

import csv
import hashlib
import json
import shutil
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from tests.support import store_view
from tests.support.checkout import PICTURES, outputs
from tests.support.sandbox import Project

pytestmark = store_view.IN_OUR_PROCESS


@pytest.fixture(scope="module")
def lab(reproduced: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with an experiment of every kind. Don't change it: `copy` it."""
    lab = reproduced.copy(tmp_path_factory.mktemp("lab") / "lab")
    lab.dvc("remote", "add", "--default", "storage", str(lab.folder.parent / "storage"))
    lab.commit("storage")
    lab.dvc("exp", "run", "--name", "three", "-S", "latent_dim=3")
    lab.git("checkout", "--force", "main")
    lab.dvc("checkout")
    lab.dvc("exp", "run", "--temp", "--name", "four", "-S", "latent_dim=4", "-S", "seed=1")
    lab.dvc("exp", "run", "--queue", "-S", "latent_dim=2,3,5")  # 2: baseline, 3: done
    lab.dvc("queue", "start", "-j", "2")
    work_off(lab)
    return lab


def work_off(project: Project, seconds: float = 300) -> None:
    """Wait until DVC's queue is empty; all must have succeeded."""
    end = time.monotonic() + seconds
    while {"Running", "Queued"} & set((status := project.dvc("queue", "status")).split()):
        assert time.monotonic() < end, status
        time.sleep(2)
    assert "Failed" not in status


def experiments(project: Project) -> list[str]:
    refs = project.git("for-each-ref", "--format=%(refname)", "refs/exps").split()
    return [ref for ref in refs if len(ref.split("/")[2]) == 2]  # not DVC's own


def test_every_experiment_has_one_finished_run(lab: Project) -> None:
    runs = store_view.runs(lab.folder).values()

    assert sorted(run.params["latent_dim"] for run in runs) == ["2", "3", "4", "5"]
    assert {run.status for run in runs} == {"FINISHED"}
    for run in runs:
        assert run.times[1] is not None
        assert run.times[1] >= run.times[0]
        assert [step for step, _, _ in run.points["greyscale/train_elbo"]] == [1, 2]
        assert set(run.models) == {"vae", "decoder"}


def test_a_run_shows_all_that_dvc_holds(lab: Project) -> None:
    run = store_view.by_name(lab.folder)["four"]

    exp = lab.git("for-each-ref", "--format=%(objectname)", "refs/exps/**/four")
    history = list(csv.DictReader(lab.git("show", f"{exp}:metrics/history.csv").splitlines()))
    for row in history:
        for name, value in row.items():
            if name != "epoch":
                (point,) = [p for p in run.points[f"greyscale/{name}"] if p[0] == int(row["epoch"])]
                assert point[1] == pytest.approx(float(value), rel=1e-8)
    evaluation = json.loads(lab.git("show", f"{exp}:metrics/evaluation.json"))["greyscale"]
    for name, value in evaluation.items():
        assert [p[1] for p in run.points[f"greyscale/{name}"]] == [value]
        assert run.models["vae"][1][f"greyscale/{name}"] == value
    baseline = lab.git("rev-parse", "main")
    assert run.tags["mlflow.runName"] == "latent_dim=4, seed=1 · four"
    assert run.tags["dvc.exp.name"] == "four"
    assert run.tags["dvc.exp.ref"] == f"refs/exps/{baseline[:2]}/{baseline[2:]}/four"
    assert run.tags["dvc.exp.baseline"] == baseline
    assert run.tags["dvc.sweep"] == "latent_dim, seed"
    assert run.tags["env.threads"] == "1"
    lock = hashlib.sha256((lab.folder / "requirements.lock").read_bytes()).hexdigest()
    assert run.tags["env.requirements.lock"] == lock
    for name in ("python", "torch", "blas", "cpu", "device", "gpu"):
        assert run.tags[f"env.{name}"]
    note = run.tags["mlflow.note.content"]
    assert f"test ELBO {evaluation['test_elbo']:.2f} ± {evaluation['test_elbo_se']:.2f}" in note
    assert f"git checkout {baseline[:7]} && dvc exp run -S latent_dim=4 -S seed=1" in note
    assert run.params["hidden_sizes"] == "[16]"
    lock = lab.git("show", f"{exp}:dvc.lock")
    assert f"md5: {run.tags['dvc.md5.models/vae.safetensors']}" in lock
    assert set(run.datasets) == {"mnist train", "mnist validation", "mnist test"}
    assert all(f"md5: {digest}" in lock for digest in run.datasets.values())
    assert set(outputs("plots", "report")) <= set(run.artifacts)
    for picture in PICTURES:
        shown = f"images/{Path(picture).stem}+step+2+"
        grid = [name for name in run.artifacts if name.startswith(shown)]
        assert len(grid) == 2  # the picture and its small copy
    assert {"dvc/dvc.lock", "dvc/dvc.yaml", "dvc/params.yaml"} <= set(run.artifacts)


def test_from_an_experiment_to_its_run(lab: Project) -> None:
    runs = store_view.runs(lab.folder).values()
    ids = {run.params["latent_dim"]: run.id for run in runs}

    run_id, address = lab.command("run-of", "four").split()
    assert run_id == ids["4"]
    assert address.endswith(f"/runs/{run_id}")
    assert lab.command("run-of", "main").split()[0] == ids["2"]
    assert lab.command("run-of").split()[0] == ids["2"]
    assert lab.command("run-of", "no-such", fails=True).startswith("error: no-such is no ")


def test_rebuild_knows_all_names_and_a_second_one_changes_nothing(
    lab: Project, tmp_path: Path
) -> None:
    project = lab.copy(tmp_path / "copy")  # whose folder has moved, too
    before = {run.id for run in store_view.runs(lab.folder).values()}

    project.command("rebuild")
    after = store_view.runs(project.folder)
    assert {run.id for run in after.values()} == before
    names = {
        name for run in after.values() for name in run.tags.get("dvc.exp.name", "").split(", ")
    }
    assert names - {""} == {ref.split("/")[-1] for ref in experiments(project)}
    for run in after.values():
        assert run.tags["mlflow.source.git.dirty"] == "false"
        commit = run.tags["mlflow.source.git.commit"]
        params = project.git("show", f"{commit}:params.yaml")
        assert f"latent_dim: {run.params['latent_dim']}" in params

    assert project.command("rebuild") == "4 experiments, each with its run\n"
    assert store_view.runs(project.folder) == after


def test_apply_and_branch_make_no_new_run(lab: Project, tmp_path: Path) -> None:
    project = lab.copy(tmp_path / "copy")
    project.git("checkout", "--force", "main")
    project.dvc("exp", "apply", "four")
    project.dvc("repro")
    project.dvc("exp", "branch", "four", "wide")
    project.command("rebuild")

    runs = store_view.runs(project.folder)
    assert len(runs) == 4
    (run,) = [run for run in runs.values() if run.params["latent_dim"] == "4"]
    assert run.tags["mlflow.source.git.branch"] == "wide"
    assert project.command("run-of").split()[0] == run.id
    assert project.command("run-of", "wide").split()[0] == run.id


def test_a_lost_store_comes_back_and_what_is_gone_is_named(lab: Project, tmp_path: Path) -> None:
    project = lab.copy(tmp_path / "copy")
    project.command("rebuild")
    before = store_view.runs(project.folder)
    (project.folder / "mlflow.db").unlink()
    shutil.rmtree(project.folder / "mlflow-artifacts")
    cache = Path(project.dvc("config", "--local", "cache.dir").strip())
    mine = tmp_path / "cache"
    shutil.copytree(cache, mine)
    project.dvc("config", "--local", "cache.dir", str(mine))
    five = next(run for run in before.values() if run.params["latent_dim"] == "5")
    md5 = five.tags["dvc.md5.models/vae.safetensors"]
    (mine / "files/md5" / md5[:2] / md5[2:]).unlink()

    said = project.command("rebuild")

    assert f"{five.name}: models/vae.safetensors is gone" in said
    after = store_view.runs(project.folder)
    assert set(after) == set(before)
    for identity, run in after.items():
        if run.params["latent_dim"] != "5":
            assert run.content() == before[identity].content()
        else:
            assert run.tags["dvc.gone"] == "models/vae.safetensors"
            assert not run.models
            assert run.points.keys() == five.points.keys()


def test_a_second_clone_rebuilds_what_it_pulls(lab: Project, tmp_path: Path) -> None:
    origin = lab.copy(tmp_path / "copy")
    subprocess.run(["git", "init", "--quiet", "--bare", tmp_path / "git"], check=True)
    origin.git("remote", "add", "origin", str(tmp_path / "git"))
    origin.git("checkout", "--force", "main")
    origin.git("push", "--quiet", "origin", "main")
    origin.dvc("push")
    origin.dvc("exp", "push", "origin", "four")
    origin.git("clone", "--quiet", "--branch", "main", str(tmp_path / "git"), str(tmp_path / "two"))
    clone = Project(tmp_path / "two", lab.mirror)
    clone.dvc("exp", "pull", "origin", "four")

    clone.command("rebuild")

    theirs = {run.params["latent_dim"]: run for run in store_view.runs(lab.folder).values()}
    runs = store_view.runs(clone.folder).values()
    assert {run.params["latent_dim"] for run in runs} == {"2", "4"}
    for run in runs:
        other = theirs[run.params["latent_dim"]]
        assert run.status == "FINISHED"
        assert run.params == other.params
        assert run.datasets == other.datasets
        assert set(run.models) == {"vae", "decoder"}
        for key, points in other.points.items():
            assert [p[:2] for p in run.points[key]] == [
                (step, pytest.approx(value, rel=1e-8)) for step, value, _ in points
            ]


def test_rebuild_follows_renames_and_removals_and_unfinished_runs(
    lab: Project, tmp_path: Path
) -> None:
    project = lab.copy(tmp_path / "copy")
    project.git("checkout", "--force", "main")
    project.dvc("exp", "rename", "four", "quattro")
    threes = store_view.by_name(lab.folder)["three"].tags["dvc.exp.name"].split(", ")
    assert len(threes) == 2
    project.dvc("exp", "remove", *threes)
    with sqlite3.connect(project.folder / "mlflow.db") as database:
        database.execute("UPDATE runs SET status = 'RUNNING', end_time = NULL")
    database.close()

    said = project.command("rebuild")
    assert "1 runs are of no experiment in this clone; --prune removes them" in said
    assert "removed" not in said
    said = project.command("rebuild", "--prune")

    assert "removed, since no experiment has it" in said
    runs = store_view.runs(project.folder).values()
    assert sorted(run.params["latent_dim"] for run in runs) == ["2", "4", "5"]
    assert {run.status for run in runs} == {"FINISHED"}
    assert "latent_dim=4, seed=1 · quattro" in {run.name for run in runs}


def test_four_at_once_on_a_fresh_store(lab: Project, tmp_path: Path) -> None:
    project = lab.copy(tmp_path / "copy")
    before = {run.params["latent_dim"]: run for run in store_view.runs(lab.folder).values()}
    project.git("checkout", "--force", "main")
    (project.folder / "mlflow.db").unlink()
    shutil.rmtree(project.folder / "mlflow-artifacts")
    project.dvc("exp", "run", "--queue", "-S", "latent_dim=3,5")
    project.dvc("exp", "run", "--queue", "-S", "latent_dim=4", "-S", "seed=1")
    project.dvc("exp", "run", "--queue", "-S", "plot_dpi=60")
    project.dvc("queue", "start", "-j", "4")
    work_off(project)
    after = store_view.runs(project.folder).values()
    assert {run.params["latent_dim"] for run in after} == {"2", "3", "4", "5"}
    for run in after:
        assert run.status == "FINISHED"
        assert set(run.models) == {"vae", "decoder"}
        assert run.points.keys() == before[run.params["latent_dim"]].points.keys()
        trained_here = any(name.startswith("env.") for name in run.tags)
        assert not trained_here  # but came from the cache


def test_champion_is_the_median_seed_of_the_best_recipe(lab: Project, tmp_path: Path) -> None:
    project = lab.copy(tmp_path / "copy")
    groups: dict[str, list[store_view.RunView]] = {}
    for run in store_view.runs(lab.folder).values():
        groups.setdefault(run.tags["dvc.recipe"], []).append(run)
    for metric in ("greyscale/test_elbo", "greyscale/validation_elbo"):
        last = {
            recipe: sorted((run.points[metric][-1][1], run.name) for run in group)
            for recipe, group in groups.items()
        }
        best = max(last.values(), key=lambda group: sum(one[0] for one in group) / len(group))
        said = project.command("champion", "--metric", metric)
        assert best[(len(best) - 1) // 2][1] in said
        assert f"the best of {len(groups)}\n" in said
        listed = [line.split("  ")[-1] for line in said.splitlines()[2:]]
        medians = [group[(len(group) - 1) // 2][1] for group in last.values()]
        assert sorted(listed) == sorted({*medians} - {best[(len(best) - 1) // 2][1]})
        assert project.command("champion", "--metric", metric) == said
    assert "models:/vae-mnist-greyscale@champion is version" in said
    most = max(map(len, groups.values()))
    assert project.command("champion") == said  # by validation
    best_of = project.command("champion", "--metric", metric, "--seeds", str(most))
    fewer = sum(len(group) < most for group in groups.values())
    assert (f"left out: {fewer} of fewer seeds" in best_of) == (fewer > 0)
    project.dvc("exp", "run", "-S", "picture_seed=1")  # the training of another run
    assert project.command("champion", "--metric", metric, "--seeds", str(most)) == best_of
    many = project.command("champion", "--metric", metric, "--seeds", "9", fails=True)
    assert "from 9 seeds or more" in many

    assert "names no protocol" in project.command("champion", "--metric", "test_elbo", fails=True)
    said = project.command("champion", "--metric", "greyscale/test_rate", fails=True)
    assert "does not say which of two models is better" in said
    said = project.command("champion", "--metric", "binarized/test_elbo", fails=True)
    assert "no finished run has binarized/test_elbo" in said
