"""`reproduce` and `verify` run a commit from nothing and say whether its results come again."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support import store_view
from tests.support.checkout import RESULTS
from tests.support.sandbox import Project

pytestmark = store_view.IN_OUR_PROCESS


def test_the_committed_state_comes_out_again_byte_for_byte(
    reproduced: Project, tmp_path: Path
) -> None:
    copy = reproduced.copy(tmp_path / "copy")
    before = copy.git("status", "--porcelain")
    output = copy.command("verify", TMPDIR=str(tmp_path))
    assert f"identical: all {len(RESULTS)} outputs of HEAD, byte for byte" in output
    assert copy.git("status", "--porcelain") == before
    assert not list(tmp_path.glob("reproduce-*"))


def test_other_numbers_are_named_with_their_distance(reproduced: Project, tmp_path: Path) -> None:
    copy = reproduced.copy(tmp_path / "copy")
    history, lock = copy.folder / "metrics/history.csv", copy.folder / "dvc.lock"
    text = history.read_text()
    forged = text.replace("\n1,1,", "\n1,1.5,")
    assert forged != text
    history.write_text(forged)
    old, new = (hashlib.md5(part.encode()).hexdigest() for part in (text, forged))  # noqa: S324
    lock.write_text(lock.read_text().replace(old, new))
    copy.commit("forged")
    output = copy.command("verify", fails=True, TMPDIR=str(tmp_path))
    assert (
        f"1 of {len(RESULTS)} outputs of HEAD differ; the first is metrics/history.csv of stage"
        in output
    )
    assert "largest difference 0.5, in beta" in output
    output = copy.command("reproduce", "HEAD", "--record", TMPDIR=str(tmp_path))
    assert f"within tolerance: 1 of {len(RESULTS)}" in output  # the metrics are the same
    assert "not noted: the store has no run of it" in output


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
    copy.command("rebuild")
    (run,) = [run for run in store_view.runs(copy.folder).values() if "other-code" in run.name]
    output = copy.command(
        "reproduce", run.id, "--record", TMPDIR=str(tmp_path), MNIST_MIRROR=mirror
    )
    assert f"identical: all {len(RESULTS)} outputs of {run.id}, byte for byte" in output
    assert f"noted in run {run.name}" in output
    again = next(one for one in store_view.runs(copy.folder).values() if one.id == run.id)
    assert again.tags["reproduced"] == "identical"
    assert again.tags["reproduced.cpu"]
    copy.command("rebuild")
    again = next(one for one in store_view.runs(copy.folder).values() if one.id == run.id)
    assert again.tags["reproduced"] == "identical"
    assert "1.5" not in (copy.folder / "metrics/history.csv").read_text()


def test_what_cannot_be_verified_is_said(reproduced: Project, tmp_path: Path) -> None:
    copy = reproduced.copy(tmp_path / "copy")
    assert "neither a revision nor" in copy.command("verify", "no-such", fails=True)
    copy.set(epochs=3)
    copy.commit("not run")
    assert "dvc.lock holds another epochs (stage train)" in copy.command("verify", fails=True)


def test_a_metric_further_off_than_its_error_is_another_result(
    reproduced: Project, tmp_path: Path
) -> None:
    copy = reproduced.copy(tmp_path / "copy")
    path, lock = copy.folder / "metrics/evaluation.json", copy.folder / "dvc.lock"
    old = path.read_text()
    values = json.loads(old)
    values["greyscale"]["test_elbo"] += 3 * values["greyscale"]["test_elbo_se"]
    new = json.dumps(values, indent=2) + "\n"
    path.write_text(new)
    hashes = (hashlib.md5(text.encode()).hexdigest() for text in (old, new))  # noqa: S324
    lock.write_text(lock.read_text().replace(*hashes))
    copy.commit("forged")
    output = copy.command("reproduce", "HEAD", fails=True, TMPDIR=str(tmp_path))
    assert (
        f"different: 1 of {len(RESULTS)} outputs of HEAD differ; the first is metrics/evaluation"
        in output
    )
    assert "3 standard errors apart" in output


def test_a_commit_runs_in_the_environment_of_its_own_lock(
    reproduced: Project, tmp_path: Path
) -> None:
    copy = reproduced.copy(tmp_path / "copy")
    old = copy.git("rev-parse", "HEAD")
    lock = copy.folder / "requirements.lock"
    lock.write_text(lock.read_text() + "# another one\n")
    copy.commit("another lock")
    # The old lock's environment is there already: this one, by another name.
    digest = hashlib.sha256((reproduced.folder / "requirements.lock").read_bytes()).hexdigest()
    environment = copy.folder / ".dvc/tmp/environments" / digest[:12]
    environment.mkdir(parents=True)
    for entry in Path(sys.prefix).iterdir():
        (environment / entry.name).symlink_to(entry)
    (environment / "installed").unlink(missing_ok=True)
    (environment / "installed").touch()
    output = copy.command("reproduce", old, TMPDIR=str(tmp_path))
    assert f"identical: all {len(RESULTS)} outputs of {old}" in output
    assert "making the environment" not in output

    lock.write_text("no-such-package==1.0 --hash=sha256:" + "0" * 64 + "\n")
    gone = copy.commit("a lock that no index has")
    lock.write_text("# today's\n")
    copy.commit("today")
    output = copy.command("reproduce", gone, fails=True, TMPDIR=str(tmp_path))
    assert "the environment of its requirements.lock cannot be made with Python" in output
    assert "Traceback" not in output


def test_a_run_of_no_commit_is_refused(reproduced: Project, tmp_path: Path) -> None:
    copy = reproduced.copy(tmp_path / "copy")
    copy.set(plot_dpi=51)
    copy.dvc("repro", MNIST_VAE_LIVE="off")
    run = copy.command("run-of").split()[0]
    assert "its code was never committed" in copy.command("reproduce", run, fails=True)
    assert "MLflow store" in copy.command("reproduce", "0" * 32, fails=True)


def test_a_project_in_a_folder_of_its_repository(reproduced: Project, tmp_path: Path) -> None:
    copy = reproduced.copy(tmp_path / "whole/inner project")
    shutil.rmtree(copy.folder / ".git")
    subprocess.run(["git", "init", "--quiet", str(copy.folder.parent)], check=True)
    copy.git("config", "user.name", "Ada")
    copy.git("config", "user.email", "ada@example.org")
    copy.commit("results")
    site = str(tmp_path / "site")
    output = copy.command("verify", "--json", TMPDIR=str(tmp_path), DVC_SITE_CACHE_DIR=site)
    told = json.loads(output[output.index("{\n") :])  # on standard output, alone
    assert told == {
        "kind": "identical",
        "compared": len(RESULTS),
        "differences": [],
        "reasons": [],
    }
    assert (tmp_path / "site").is_dir()  # the user's own setting holds
    copy.command("rebuild")
    assert "1 experiments, each with its run" in copy.command("rebuild")
