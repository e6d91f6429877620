"""Killed at any moment, training goes on and ends with the same bytes; faults lose nothing."""

import random
import signal
import time
from pathlib import Path

import pytest

from tests.integration import store_view
from tests.integration.sandbox import Project

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # MLflow's and SQLAlchemy's own
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
RESULTS = ("models/vae.safetensors", "metrics/history.csv")
EVERY_STEP = {"MNIST_VAE_CHECKPOINT_SECONDS": "0", "MNIST_VAE_LIVE": "off"}
TRAIN = ("python", "-m", "stages.train")


@pytest.fixture
def copy(reproduced: Project, tmp_path: Path) -> Project:
    """A copy with a training that is long enough to be killed."""
    project = reproduced.copy(tmp_path / "copy")
    project.set(epochs=12)
    return project


def train(project: Project, **environment: str) -> dict[str, bytes]:
    for name in RESULTS:
        (project.folder / name).unlink(missing_ok=True)
    project.run(*TRAIN, **environment)
    return {name: (project.folder / name).read_bytes() for name in RESULTS}


def wait_for_epoch(process: "object", epoch: int) -> str:
    """Read a training's lines up to the one that says that `epoch` is done."""
    seen = ""
    for line in process.stdout:  # type: ignore[attr-defined]
        seen += line
        if line.startswith("epoch") and int(line.split()[1].split("/")[0]) >= epoch:
            return seen
    raise AssertionError(seen)


def test_killed_at_random_moments_it_ends_with_the_same_bytes(copy: Project) -> None:
    undisturbed = train(copy, MNIST_VAE_LIVE="off")
    chance = random.Random(0)
    kills, resumed = 0, 0
    for _ in range(3):
        for name in RESULTS:
            (copy.folder / name).unlink()
        for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
            with copy.start(*TRAIN, **EVERY_STEP) as process:
                wait_for_epoch(process, 1)
                time.sleep(chance.uniform(0, 0.3))
                process.send_signal(number)
                output = process.communicate()[0]
            assert "Traceback" not in output
            if process.returncode != 0:
                kills += 1
                assert process.returncode == (-9 if number == signal.SIGKILL else 1)
        resumed += "going on from the checkpoint" in copy.run(*TRAIN, **EVERY_STEP)
        assert {name: (copy.folder / name).read_bytes() for name in RESULTS} == undisturbed
        assert list((copy.folder / ".checkpoints").iterdir()) == []
    assert kills >= 5
    assert resumed >= 2


def test_dvc_reports_a_terminated_training_and_the_next_repro_goes_on(copy: Project) -> None:
    expected = train(copy, MNIST_VAE_LIVE="off")
    with copy.start("dvc", "repro", MNIST_VAE_CHECKPOINT_SECONDS="0") as process:
        seen = wait_for_epoch(process, 2)
        copy.run("pkill", "-TERM", "-f", "^python -m stages.train")
        output = seen + process.communicate()[0]
    assert process.returncode != 0
    assert "error: stopped by SIGTERM in epoch" in output
    assert "failed to reproduce 'train'" in output
    assert len(list((copy.folder / ".checkpoints").iterdir())) == 1

    output = copy.dvc("repro")
    assert "going on from the checkpoint" in output
    assert {name: (copy.folder / name).read_bytes() for name in RESULTS} == expected
    assert list((copy.folder / ".checkpoints").iterdir()) == []
    runs = [run for run in store_view.runs(copy.folder).values() if run.params["epochs"] == "12"]
    assert [run.status for run in runs] == ["FINISHED"]
    steps = [step for step, _, _ in runs[0].points["greyscale/train_elbo"]]
    assert steps == list(range(1, 13))


def test_a_checkpoint_of_other_parameters_is_not_used(copy: Project) -> None:
    with copy.start(*TRAIN, **EVERY_STEP) as process:
        wait_for_epoch(process, 2)
        process.terminate()
        process.communicate()
    copy.set(learning_rate=0.001)
    assert "going on from the checkpoint" not in copy.run(*TRAIN, **EVERY_STEP)


def test_training_needs_no_checkpoints(copy: Project) -> None:
    expected = train(copy, MNIST_VAE_LIVE="off")
    folder = copy.folder / ".checkpoints"
    assert not folder.exists()  # a training shorter than the interval writes none
    folder.write_text("no folder")
    for name in RESULTS:
        (copy.folder / name).unlink()
    output = copy.run(*TRAIN, **EVERY_STEP)
    assert output.count("warning: no checkpoint written") == 1
    assert {name: (copy.folder / name).read_bytes() for name in RESULTS} == expected


def test_a_full_disk_is_one_line_and_leaves_no_half_file(copy: Project) -> None:
    for name in RESULTS:
        (copy.folder / name).unlink()
    # No file may grow beyond 20 kB: the weights have 100 kB.
    limited = f"ulimit -f 20 && exec {' '.join(TRAIN)}"
    output = copy.run("bash", "-c", limited, fails=True, MNIST_VAE_LIVE="off")
    assert "error: File too large" in output
    assert "Traceback" not in output
    assert not (copy.folder / "models/vae.safetensors").exists()
    assert not list(copy.folder.rglob("*.tmp"))


@pytest.mark.parametrize(
    ("stage", "damaged", "says"),
    [
        ("train", "data/processed/train.safetensors", "is damaged"),
        ("evaluate", "models/vae.safetensors", "is damaged"),
        ("plots", "results/evaluation.safetensors", "is damaged"),
    ],
)
def test_a_damaged_input_is_named(copy: Project, stage: str, damaged: str, says: str) -> None:
    path = copy.folder / damaged
    content = path.read_bytes()
    path.unlink()  # the cache's file stays as it is
    path.write_bytes(content[: len(content) // 2])
    output = copy.run("python", "-m", f"stages.{stage}", fails=True)
    assert f"error: {damaged} {says}" in output
    assert "Traceback" not in output
