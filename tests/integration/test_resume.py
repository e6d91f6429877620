"""Killed at any moment, training goes on and ends with the same bytes; faults lose nothing."""

import json
import signal

import pytest

from mnist_vae.arrays import read_arrays, write_arrays
from tests.support import store_view
from tests.support.checkout import ROOT, outputs
from tests.support.sandbox import Project
from tests.support.trainings import TRAIN, training_of, wait_for_epoch

pytestmark = store_view.IN_OUR_PROCESS
RESULTS = outputs("train")
EVERY_STEP = {"MNIST_VAE_CHECKPOINT_SECONDS": "0", "MNIST_VAE_LIVE": "off"}


@pytest.fixture
def copy(copied: Project) -> Project:
    """A copy with a training that is long enough to be killed."""
    copied.set(epochs=12)
    return copied


def train(project: Project, **environment: str) -> dict[str, bytes]:
    for name in RESULTS:
        (project.folder / name).unlink(missing_ok=True)
    project.run(*TRAIN, **environment)
    return {name: (project.folder / name).read_bytes() for name in RESULTS}


def test_killed_at_random_moments_it_ends_with_the_same_bytes(copy: Project) -> None:
    copy.set(epochs=5)
    for split, images in (("train", 700), ("validation", 100)):  # less to load
        path = copy.folder / f"data/processed/{split}.safetensors"
        arrays, _ = read_arrays(path)
        path.unlink()
        write_arrays(path, {name: array[:images] for name, array in arrays.items()})
    program = ROOT / "tests/support/killing.py"
    output = copy.run("python", str(program), "20", "0", PYTHONPATH="src:.", **EVERY_STEP)
    counts = json.loads(output.splitlines()[-1])
    for kind in ("SIGKILL", "SIGTERM", "SIGINT", "full disk"):
        assert counts[kind] >= 20
    assert counts["resumed"] >= 40
    assert counts["foreign"] == 3


def test_dvc_reports_a_terminated_training_and_the_next_repro_goes_on(copy: Project) -> None:
    copy.set(epochs=16, seed=11)  # which no other test has put into the cache that all share
    expected = train(copy, MNIST_VAE_LIVE="off")
    for number, says in (
        (signal.SIGTERM, "error: stopped by SIGTERM in epoch"),
        (signal.SIGKILL, ""),
    ):
        with copy.start("dvc", "repro", MNIST_VAE_CHECKPOINT_SECONDS="0") as process:
            seen = wait_for_epoch(process, 2)
            training_of(process).send_signal(number)
            output = seen + process.communicate()[0]
        assert process.returncode != 0
        assert says in output
        assert "failed to reproduce 'train'" in output
        assert len(list((copy.folder / ".checkpoints").glob("train-*"))) == 1

    output = copy.dvc("repro")
    assert "going on from the checkpoint" in output
    assert {name: (copy.folder / name).read_bytes() for name in RESULTS} == expected
    assert list((copy.folder / ".checkpoints").iterdir()) == []
    runs = [run for run in store_view.runs(copy.folder).values() if run.params["epochs"] == "16"]
    assert [run.status for run in runs] == ["FINISHED"]
    steps = [step for step, _, _ in runs[0].points["greyscale/train_elbo"]]
    assert steps == list(range(1, 17))


def test_training_needs_no_checkpoints(copy: Project) -> None:
    expected = train(copy, MNIST_VAE_LIVE="off", MNIST_VAE_CHECKPOINT_SECONDS="3600")
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
    output = copy.run("python", "-m", "stages", stage, fails=True)
    assert f"error: {damaged} {says}" in output
    assert "Traceback" not in output
