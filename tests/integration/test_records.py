"""What is edited while a stage runs is never recorded as what its results were made from."""

import contextlib
import csv
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from ruamel.yaml import YAML

from tests.support import store_view
from tests.support.sandbox import Project, wait_for
from tests.support.trainings import OFF

pytestmark = store_view.IN_OUR_PROCESS
Edit = Callable[[Project], None]
EPOCHS = 12


@pytest.fixture(scope="module")
def trained(reproduced: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with a training of some seconds, committed before it has run, and a branch."""
    project = reproduced.copy(tmp_path_factory.mktemp("trained") / "project")
    project.git("checkout", "--quiet", "-b", "other")
    project.set(epochs=EPOCHS, seed=12, iwae_samples=300, learning_rate=0.004)
    project.commit("another rate")
    project.git("checkout", "--quiet", "main")
    project.set(epochs=EPOCHS, seed=12, iwae_samples=300)
    project.commit("a longer training")
    return project


@pytest.fixture
def copy(trained: Project, tmp_path: Path) -> Project:
    """The same with a DVC cache of its own, so that each test trains."""
    project = trained.copy(tmp_path / "copy")
    cache = project.dvc("cache", "dir").strip()
    subprocess.run(["cp", "-rs", cache, tmp_path / "cache"], check=True)
    project.dvc("config", "--local", "cache.dir", str(tmp_path / "cache"))
    return project


def append(path: str) -> Edit:
    def edit(project: Project) -> None:
        with (project.folder / path).open("a") as file:
            file.write("# a thought\n")

    return edit


def parameter(name: str, value: object) -> Edit:
    return lambda project: project.set(**{name: value})


def truncate_data(project: Project) -> None:
    path = project.folder / "data/processed/train.safetensors"
    content = path.read_bytes()
    path.unlink()  # a link to the cache
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def vanish(project: Project) -> None:
    (project.folder / "src/mnist_vae/elbo.py").unlink()


def checkout(project: Project) -> None:
    project.git("checkout", "--quiet", "other")


def undo(project: Project) -> None:
    project.git("checkout", "--quiet", "--force", "main")
    project.git("checkout", "--quiet", "--", ".")
    project.dvc("checkout", "--force", "data/processed/train.safetensors")


def lock(project: Project) -> dict[str, object]:
    values = YAML(typ="safe", pure=True).load((project.folder / "dvc.lock").read_text())
    stages: dict[str, object] = values["stages"]
    return stages


@contextlib.contextmanager
def running(project: Project, stage: str, *command: str) -> "Iterator[subprocess.Popen[str]]":
    """A DVC command, when `stage` works on what it has noted."""
    log = project.folder.parent / "output.txt"
    with log.open("w") as output:
        process = subprocess.Popen(
            ["dvc", *command],
            cwd=project.folder,
            env=project.environment | OFF,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            wait_for(lambda: at_work(process, stage, log) or process.poll() is not None)
            assert process.poll() is None, log.read_text()
            yield process
            process.wait(timeout=180)
        finally:
            with contextlib.suppress(psutil.NoSuchProcess):
                for one in psutil.Process(process.pid).children(recursive=True):
                    one.kill()
            process.kill()


def at_work(process: "subprocess.Popen[str]", stage: str, log: Path) -> bool:
    """Has the stage imported what it needs? Training is in its second epoch."""
    if stage == "train":
        return "epoch   2/" in log.read_text()
    try:
        for child in psutil.Process(process.pid).children(recursive=True):
            if child.cmdline()[-2:] == ["stages", stage]:
                libraries = Path(f"/proc/{child.pid}/maps").read_text()
                return "libtorch_cpu" in libraries or "_image" in libraries
    except (psutil.NoSuchProcess, psutil.ZombieProcess, FileNotFoundError):
        pass
    return False


def output_of(project: Project) -> str:
    return (project.folder.parent / "output.txt").read_text()


def errors(project: Project) -> list[str]:
    output = output_of(project)
    assert "Traceback" not in output
    return [line for line in output.splitlines() if line.startswith("error: ")]


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (append("src/mnist_vae/training.py"), "src/mnist_vae/training.py was changed"),
        (
            parameter("learning_rate", 0.5),
            "params.yaml: learning_rate was 0.002 when train began and is 0.5 now",
        ),
        (truncate_data, "data/processed/train.safetensors was changed"),
        (vanish, "src/mnist_vae/elbo.py has vanished"),
        (checkout, "params.yaml: learning_rate was 0.002 when train began and is 0.004 now"),
    ],
    ids=["code", "parameter", "input", "vanished", "checkout"],
)
def test_an_edit_while_training_is_refused_and_the_training_kept(
    copy: Project, edit: Edit, named: str
) -> None:
    before = (copy.folder / "dvc.lock").read_bytes()
    with running(copy, "train", "repro", "train") as process:
        edit(copy)
    (line,) = errors(copy)
    assert named in line
    assert process.returncode != 0
    assert "the finished training is kept as a checkpoint" in output_of(copy)
    assert not (copy.folder / "models/vae.safetensors").exists()
    if edit is not checkout:
        assert (copy.folder / "dvc.lock").read_bytes() == before

    undo(copy)
    again = copy.dvc("repro", "train", **OFF)
    assert f"going on from the checkpoint after epoch {EPOCHS}" in again
    assert "epoch   1/" not in again
    assert list((copy.folder / ".checkpoints").iterdir()) == []
    if edit is not vanish:
        return  # one undisturbed training to compare with is enough
    taken_up = lock(copy)["train"]
    copy.dvc("repro", "--single-item", "--force", "--no-run-cache", "train", **OFF)
    assert lock(copy)["train"] == taken_up  # the bytes of an undisturbed training
    assert "epoch   1/" not in copy.dvc("repro", "train", **OFF)


def test_an_edit_that_stays_trains_again_with_it(copy: Project) -> None:
    with running(copy, "train", "repro", "train"):
        parameter("learning_rate", 0.003)(copy)
    assert errors(copy)
    assert "epoch   1/" in copy.dvc("repro", "train", **OFF)
    recorded = lock(copy)["train"]
    assert recorded["params"]["params.yaml"]["learning_rate"] == 0.003  # type: ignore[index]
    with (copy.folder / "metrics/history.csv").open() as file:
        peak = max(float(row["learning_rate"]) for row in csv.DictReader(file))
    assert 0.0025 < peak <= 0.003


def test_an_edit_that_is_undone_in_time_and_one_of_other_stages_do_no_harm(copy: Project) -> None:
    with running(copy, "train", "repro", "train") as process:
        vanish(copy)
        parameter("learning_rate", 0.5)(copy)
        time.sleep(0.3)
        copy.git("checkout", "--quiet", "--", ".")
        parameter("plot_dpi", 60)(copy)
        append("src/mnist_vae/plots.py")(copy)
    assert process.returncode == 0
    assert errors(copy) == []
    assert "epoch   1/" not in copy.dvc("repro", "train", **OFF)


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (append("src/mnist_vae/probe.py"), "src/mnist_vae/probe.py was"),
        (parameter("elbo_samples", 2), "params.yaml: elbo_samples was 1 when evaluate began"),
        (truncate_data, "data/processed/train.safetensors was"),
    ],
    ids=["code", "parameter", "input"],
)
def test_an_edit_while_evaluating_is_refused_in_an_experiment(
    copy: Project, edit: Edit, named: str
) -> None:
    with running(copy, "evaluate", "exp", "run", "-S", "epochs=1") as process:
        edit(copy)
    (line,) = errors(copy)
    assert named in line
    assert process.returncode != 0
    assert copy.dvc("exp", "list", "--name-only").strip() == ""
    assert not (copy.folder / "metrics/evaluation.json").exists()


def test_an_edit_while_tracking_is_refused_and_the_run_comes_afterwards(copy: Project) -> None:
    copy.set(iwae_samples=0, epochs=2)
    copy.commit("a short training")
    copy.dvc("repro", "plots", **OFF)
    with running(copy, "track", "repro") as process:
        parameter("plot_dpi", 61)(copy)
    (line,) = errors(copy)
    assert "params.yaml: plot_dpi was 50 when track began and is 61 now" in line
    assert process.returncode != 0
    copy.set(plot_dpi=50)
    copy.dvc("repro", **OFF)
    runs = [run for run in store_view.runs(copy.folder).values() if run.params["seed"] == "12"]
    assert [(run.status, run.params["plot_dpi"]) for run in runs] == [("FINISHED", "50")]
