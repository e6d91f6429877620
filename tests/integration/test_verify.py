"""`verify` runs a commit from nothing and tells identical bytes from others."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from tests.support.checkout import RESULTS
from tests.support.sandbox import Project


def test_the_committed_state_comes_out_again_byte_for_byte(copied: Project, tmp_path: Path) -> None:
    before = copied.git("status", "--porcelain")
    output = copied.command("verify", TMPDIR=str(tmp_path))
    assert f"identical: all {len(RESULTS)} outputs of HEAD, byte for byte" in output
    assert copied.git("status", "--porcelain") == before
    assert not list(tmp_path.glob("verify-*"))


def test_other_numbers_are_named_with_their_distance(copied: Project, tmp_path: Path) -> None:
    history, lock = copied.folder / "metrics/history.csv", copied.folder / "dvc.lock"
    text = history.read_text()
    forged = text.replace("\n1,1,", "\n1,1.5,")
    assert forged != text
    history.write_text(forged)
    old, new = (hashlib.md5(part.encode()).hexdigest() for part in (text, forged))  # noqa: S324
    lock.write_text(lock.read_text().replace(old, new))
    copied.commit("forged")
    output = copied.command("verify", fails=True, TMPDIR=str(tmp_path))
    assert (
        f"1 of {len(RESULTS)} outputs differ; the first is metrics/history.csv of stage train: "
        in output
    )
    assert "largest difference 0.5, in beta" in output


def test_an_experiment_with_other_code_is_verified_by_name(
    reproduced: Project, tmp_path: Path
) -> None:
    copy = reproduced.copy(tmp_path / "with a space, größer")
    source = copy.folder / "src/mnist_vae/training.py"
    text = source.read_text()
    source.write_text(text.replace('"train_objective": objective,', '"train_objective": 1.5,'))
    assert source.read_text() != text
    copy.dvc("exp", "run", "--name", "other-code", MNIST_VAE_LIVE="off")
    copy.git("checkout", "--force", ".")
    assert source.read_text() == text
    mirror = os.path.relpath(copy.mirror, copy.folder)
    output = copy.command("verify", "other-code", TMPDIR=str(tmp_path), MNIST_MIRROR=mirror)
    assert f"identical: all {len(RESULTS)} outputs of other-code, byte for byte" in output
    assert "1.5" not in (copy.folder / "metrics/history.csv").read_text()


def test_what_cannot_be_verified_is_said(copied: Project) -> None:
    assert "neither a revision nor" in copied.command("verify", "no-such", fails=True)
    copied.set(epochs=3)
    copied.commit("not run")
    assert "dvc.lock holds another epochs (stage train)" in copied.command("verify", fails=True)


def test_a_project_in_a_folder_of_its_repository(reproduced: Project, tmp_path: Path) -> None:
    copy = reproduced.copy(tmp_path / "whole/inner project")
    shutil.rmtree(copy.folder / ".git")
    subprocess.run(["git", "init", "--quiet", str(copy.folder.parent)], check=True)
    copy.git("config", "user.name", "Ada")
    copy.git("config", "user.email", "ada@example.org")
    copy.commit("results")
    output = copy.command("verify", TMPDIR=str(tmp_path), DVC_SITE_CACHE_DIR=str(tmp_path / "site"))
    assert f"identical: all {len(RESULTS)} outputs of HEAD, byte for byte" in output
    assert (tmp_path / "site").is_dir()  # the user's own setting holds
    copy.command("rebuild")
    assert "1 experiments, each with its run" in copy.command("rebuild")
