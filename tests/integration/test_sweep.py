"""One point of a sweep wherever it is called: done once, pushed whole, resumed elsewhere."""

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from mlflow import MlflowClient

from mnist_vae.sweep import remote
from mnist_vae.sweep.plan import Sweep
from tests.support import remotes, store_view
from tests.support.sandbox import Project
from tests.support.trainings import wait_for_epoch

pytestmark = store_view.IN_OUR_PROCESS


@pytest.fixture(scope="module")
def lab(reproduced: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project with remotes and a sweep `few` of two points, of which the second is long."""
    folder = tmp_path_factory.mktemp("sweep")
    project = remotes.with_remotes(reproduced.copy(folder / "project"), folder)
    (folder / "points").write_text(f"seed=1\nseed=2 epochs=30\n{remotes.DIVERGES}\n")
    said = project.command("sweep", "new", "few", "--points", str(folder / "points"))
    assert "sweeps/few.yaml: 3 points on " in said
    yield project


def log(project: Project) -> list[list[str]]:
    lines = (project.folder / "sweeps/few/log").read_text().splitlines()
    return [line.split("\t")[1:2] + line.split("\t")[4:] for line in lines]


def test_two_tasks_of_one_point_at_once_make_one_experiment(lab: Project) -> None:
    server = f"sqlite:///{lab.folder.parent}/team.db"
    MlflowClient(server).search_experiments()  # as a server: its tables are there
    command = ("python", "-m", "mnist_vae", "sweep", "work", "few", "0")
    tasks = [lab.start(*command, MLFLOW_TRACKING_URI=server) for _ in range(2)]
    said = [task.communicate()[0] for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0], said
    assert remotes.pushed(lab) == ["seed-1"]
    assert sorted(line[1] for line in log(lab)) == ["done", "done", "started", "started"]
    (run,) = store_view.runs_at(server).values()
    assert run.status == "FINISHED"
    assert run.tags["dvc.exp.name"] == "seed-1"
    assert len(run.models) > 1
    again = lab.command("sweep", "work", "few", "0")
    assert "it was on the remote already" in again
    # In a clone of its own it was what `dvc exp run` makes of it here.
    here = lab.copy(lab.folder.parent / "here")
    here.dvc("exp", "run", "--name", "seed-1", "-S", "seed=1", MNIST_VAE_TRACK="off")
    ref = (
        f"refs/exps/{here.git('rev-parse', 'HEAD')[:2]}/{here.git('rev-parse', 'HEAD')[2:]}/seed-1"
    )
    ours = here.git("rev-parse", f"{ref}^{{tree}}")
    here.git("fetch", "--quiet", "origin", ref)
    assert here.git("rev-parse", "FETCH_HEAD^{tree}") == ours


def test_the_same_commit_made_twice_is_pushed_once(reproduced: Project, tmp_path: Path) -> None:
    project = remotes.with_remotes(reproduced.copy(tmp_path / "project"), tmp_path)
    head = project.git("rev-parse", "HEAD")
    sweep = Sweep("same", head, str(tmp_path / "git"), "", "", ())
    project.git("update-ref", f"{sweep.refs}one", head)  # as two tasks in one second make it
    other = project.copy(tmp_path / "other")
    first, second = (
        remote.push(sweep, "one", clone.folder, clone.environment) for clone in (project, other)
    )
    assert (first, second) == (True, False)


def test_a_stopped_task_goes_on_in_another_clone(lab: Project, tmp_path: Path) -> None:
    command = ("python", "-m", "mnist_vae", "sweep", "work", "few", "1")
    elsewhere = {"MNIST_VAE_SCRATCH": str(tmp_path / "scratch")}
    with lab.start(*command, **elsewhere) as task:
        wait_for_epoch(task, 5)
        task.send_signal(signal.SIGTERM)
        task.communicate()
    assert task.returncode == 75
    assert log(lab)[-1] == ["1", "stopped", "by SIGTERM"]
    assert "stopped" in remotes.states(lab, "few").values()
    # Another node, that has only the sweep's file.
    (tmp_path / "few.yaml").write_bytes((lab.folder / "sweeps/few.yaml").read_bytes())
    node = Project(tmp_path, lab.mirror)
    node.environment |= {"PYTHONPATH": str(lab.folder / "src")} | {
        name: lab.environment[name] for name in ("MNIST_VAE_SCRATCH",)
    }
    node.run("git", "config", "--file", "gitconfig", "user.name", "Ada")
    said = node.run("python", "-m", "mnist_vae", "sweep", "work", "few.yaml", "1", fails=True)
    assert "names no DVC remote" in said  # nor DVC's settings, that this project has in no commit
    said = lab.run(*command)
    assert "going on from the checkpoint in epoch" in said
    assert remotes.pushed(lab) == ["epochs-30_seed-2", "seed-1"]


def test_a_failed_task_says_why(lab: Project) -> None:
    said = lab.command("sweep", "work", "few", "2", fails=True)
    assert "Traceback" not in said
    index, state, reason = log(lab)[-1]
    assert (index, state) == ("2", "failed")
    assert "diverged" in reason
    assert set(remotes.states(lab, "few").values()) == {"done", "failed"}


def test_collected_they_are_experiments_with_a_run_each(lab: Project) -> None:
    said = lab.command("sweep", "collect", "few")
    assert "2 experiments pulled, 0 were here" in said
    assert f"still out:    2  {remotes.DIVERGENT}  failed: " in said
    assert {run.tags.get("dvc.exp.name") for run in store_view.runs(lab.folder).values()} == {
        None,
        "epochs-30_seed-2",
        "seed-1",
    }
    assert "0 experiments pulled, 2 were here" in lab.command("sweep", "collect", "few")
    assert all(run.models for run in store_view.runs(lab.folder).values())


def test_eight_pushes_at_once_lose_nothing(reproduced: Project, tmp_path: Path) -> None:
    project = remotes.with_remotes(reproduced.copy(tmp_path / "project"), tmp_path)
    head = project.git("rev-parse", "HEAD")
    sweep = Sweep("eight", head, str(tmp_path / "git"), "", "", ())

    def one(number: int) -> bool:
        clone = project.copy(tmp_path / str(number))
        file = clone.folder / "extra.bin"
        file.write_text(f"{number}" * 1000)
        clone.dvc("add", "--quiet", file.name)
        clone.git("add", "--all")
        commit = clone.git("commit-tree", "-p", head, "-m", "exp", clone.git("write-tree"))
        clone.git("update-ref", f"{sweep.refs}of-{number}", commit)
        return remote.push(sweep, f"of-{number}", clone.folder, clone.environment)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(one, range(8))) == [True] * 8
    assert remotes.pushed(project) == [f"of-{number}" for number in range(8)]
    fresh = tmp_path / "fresh"
    project.git("clone", "--quiet", str(tmp_path / "git"), str(fresh))
    other = Project(fresh, project.mirror)
    other.dvc("remote", "add", "--local", "--default", "store", str(tmp_path / "store"))
    for number in range(8):
        other.git("fetch", "--quiet", "origin", f"{sweep.refs}of-{number}")
        other.git("checkout", "--quiet", "FETCH_HEAD")
        other.dvc("pull", "--quiet", "extra.bin")
        assert (fresh / "extra.bin").read_text() == f"{number}" * 1000


def test_a_sweep_is_refused_before_anything_is_submitted(
    reproduced: Project, tmp_path: Path
) -> None:
    project = reproduced.copy(tmp_path / "project")
    new = ("sweep", "new", "some", "-S", "seed=1")
    assert "there is no Git remote origin" in project.command(*new, fails=True)
    remotes.with_remotes(project, tmp_path)
    project.dvc("remote", "remove", "--local", "store")
    assert "there is no DVC remote" in project.command(*new, fails=True)
    project.dvc("remote", "add", "--local", "--default", "store", str(tmp_path / "store"))
    project.set(epochs=1)
    assert "params.yaml differs from HEAD" in project.command(*new, fails=True)
    project.commit("shorter")
    assert "`git push` it" in project.command(*new, fails=True)
    project.git("push", "--quiet", "origin", "HEAD:main")
    wrong = project.command("sweep", "new", "some", "-S", "latent_dim=2,0", fails=True)
    assert "point latent_dim=0: params.yaml: latent_dim is 0; it must be" in wrong
    assert not (project.folder / "sweeps").exists()
    subfolder = project.folder / "docs"
    inside = Project(subfolder, project.mirror)
    inside.environment = project.environment | {"PYTHONPATH": str(project.folder / "src")}
    assert "seed-1" in inside.command(*new)  # from any folder
    assert "holds something else" in project.command(*new[:-1], "seed=2", fails=True)
    project.git("remote", "set-url", "origin", "https://ada:secret@example.org/x.git")
    assert "holds a password" in project.command(*new, fails=True)
