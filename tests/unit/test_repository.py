"""What Git says, and that a Git which fails is not taken for one that holds nothing."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from mnist_vae.errors import PipelineError, Unreadable
from mnist_vae.experiments import origins
from mnist_vae.experiments.repository import Repository
from tests.support.git import commit, git


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    return tmp_path


def test_a_git_that_fails_is_an_error_and_not_an_empty_list(folder: Path) -> None:
    commit(folder, dvc_lock="1")
    (folder / ".git/HEAD").unlink()
    for listing in ("commits", "experiments", "labels"):
        with pytest.raises(PipelineError, match=r"git .* failed in .*: fatal: not a git repo"):
            getattr(Repository(folder), listing)


def test_branches_are_seen_from_one_without_a_commit(folder: Path) -> None:
    assert Repository(folder).commits == []
    first = commit(folder, dvc_lock="1")
    git(folder, "checkout", "--quiet", "--orphan", "new")
    assert Repository(folder).commits == [first]


def test_what_is_missing_from_a_folder_with_a_space_is_missing(folder: Path) -> None:
    project = folder / "my project"
    project.mkdir()
    head = commit(project, params_yaml="seed: 0")
    with Repository(project) as repository:
        assert repository.read(head, "dvc.lock") is None
        assert repository.read(head, "params.yaml") == b"seed: 0"


def test_what_git_fails_to_read_is_not_taken_for_missing(tmp_path: Path) -> None:
    """A partial clone whose remote is away: the index must not take its commits for empty."""
    origin, clone = tmp_path / "origin", tmp_path / "clone"
    origin.mkdir()
    git(origin, "init", "--quiet", "--initial-branch=main")
    git(origin, "config", "uploadpack.allowFilter", "true")
    first = commit(origin, params_yaml="seed: 1", dvc_yaml="stages: {}", dvc_lock="stages: {}")
    commit(origin, params_yaml="seed: 2")
    git(tmp_path, "clone", "--quiet", "--filter=blob:none", f"file://{origin}", "clone")
    origin.rename(tmp_path / "away")
    with Repository(clone) as repository:
        assert repository.read("HEAD", "params.yaml") == b"seed: 2"
        with pytest.raises(Unreadable, match=r"git ended over .*params\.yaml: .* partial clone"):
            repository.read(first, "params.yaml")
        with pytest.raises(Unreadable):
            list(origins.discover(repository))
        assert repository.read("HEAD", "params.yaml") == b"seed: 2"  # Git answers on
        (tmp_path / "away").rename(origin)
        found = [snapshot.params["seed"] for _, snapshot in origins.discover(repository)]
    assert found == [2, 1]


def test_a_damaged_file_is_not_taken_for_an_empty_one(folder: Path) -> None:
    head = commit(folder, params_yaml="seed: 1\n" * 100, dvc_yaml="stages: {}")
    blob = git(folder, "rev-parse", f"{head}:params.yaml")
    stored = folder / ".git/objects" / blob[:2] / blob[2:]
    stored.chmod(0o600)
    stored.write_bytes(stored.read_bytes()[:-8])
    with Repository(folder) as repository:
        with pytest.raises(Unreadable, match=r"git ended over .*params\.yaml"):
            repository.read(head, "params.yaml")
        assert repository.read(head, "dvc.yaml") == b"stages: {}"
        with pytest.raises(Unreadable):
            list(origins.discover(repository))


def test_outside_of_a_repository_there_is_nothing(tmp_path: Path) -> None:
    with Repository(tmp_path) as repository:
        assert repository.read("HEAD", "params.yaml") is None
        assert repository.read("HEAD", "params.yaml") is None


def test_a_commit_of_another_layout_is_passed_over(folder: Path) -> None:
    commit(folder, params_yaml="[]", dvc_yaml="stages: [train]", dvc_lock="stages: 1")
    commit(folder, params_yaml="seed: 0", dvc_yaml="stages: {a: {foreach: [1]}}", dvc_lock="{}")
    with Repository(folder) as repository:
        found = [snapshot.problem for _, snapshot in origins.discover(repository)]
    assert found == ["dvc.lock has no stage a: the pipeline has not run to its end"]


def test_results_that_a_merge_did_not_take_are_still_there(folder: Path) -> None:
    first = commit(folder, dvc_lock="1")
    git(folder, "checkout", "--quiet", "-b", "feature")
    theirs = commit(folder, dvc_lock="feature")
    git(folder, "checkout", "--quiet", "main")
    ours = commit(folder, dvc_lock="main")
    git(folder, "checkout", "--quiet", "feature")
    git(folder, "merge", "--quiet", "--strategy=ours", "--message", "one", "main")
    git(folder, "checkout", "--quiet", "main")
    git(folder, "merge", "--quiet", "--ff-only", "feature")
    git(folder, "branch", "--delete", "feature")
    last = commit(folder, other="1")
    assert {first, theirs, ours, last} <= set(Repository(folder).commits)


def test_a_commit_that_adds_only_the_parameters_counts(folder: Path) -> None:
    commit(folder, dvc_lock="1")
    second = commit(folder, params_yaml="seed: 1")
    third = commit(folder, other="1")
    assert second in Repository(folder).commits
    assert commit(folder, another="1") != third
    assert third not in Repository(folder).commits


def test_a_signature_is_not_read_for_what_was_asked(folder: Path) -> None:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("signing needs ssh-keygen")
    key = folder / "key"
    make_key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
    subprocess.run(make_key, check=True, capture_output=True)
    settings = {"gpg.format": "ssh", "user.signingkey": str(key), "commit.gpgsign": "true"}
    (folder / "signers").write_text(f"ada@example.org {key.with_suffix('.pub').read_text()}")
    settings |= {"gpg.ssh.allowedSignersFile": str(folder / "signers")}
    for name, value in (settings | {"log.showSignature": "true"}).items():
        git(folder, "config", name, value)
    commit(folder, dvc_lock="1")
    assert "signature" in git(folder, "show", "-s", "--format=%an")
    assert Repository(folder).git("show", "-s", "--format=%an") == "Ada"
    with Repository(folder) as repository:
        made = repository.made(repository.commit("HEAD"))
    assert made is not None
    assert made.author == "Ada"


def test_author_and_time_of_a_commit_are_those_that_git_shows(folder: Path) -> None:
    first = commit(folder, dvc_lock="1")
    names = {"GIT_AUTHOR_NAME": "Anna Ølgaard", "GIT_COMMITTER_NAME": "Bo", "TZ": "Asia/Tokyo"}
    for encoding in ("UTF-8", "ISO-8859-1", "no-such-encoding"):
        git(folder, "config", "i18n.commitEncoding", encoding)
        known = encoding != "no-such-encoding"
        shown = names["GIT_AUTHOR_NAME"].encode(encoding if known else "UTF-8")
        subprocess.run(
            ["git", "commit", "--quiet", "--allow-empty", "--message", "author 7 <x> 8"],
            cwd=folder,
            env=os.environ | names | {"GIT_AUTHOR_NAME": os.fsdecode(shown)},
            check=True,
        )
        head = git(folder, "rev-parse", "HEAD")
        with Repository(folder) as repository:
            made = repository.made(head)
            assert repository.made("0" * 40) is None
            assert repository.read(first, "dvc.lock") == b"1"
        assert made is not None
        said = git(folder, "-c", "i18n.logOutputEncoding=UTF-8", "show", "-s", "--format=%an%n%ct")
        assert [made.author, str(made.moment)] == said.splitlines()
        assert made.author == "Anna Ølgaard"
