"""What Git says, and that a Git which fails is not taken for one that holds nothing."""

import subprocess
from pathlib import Path

import pytest

from mnist_vae.errors import PipelineError
from mnist_vae.tracking import origins
from mnist_vae.tracking.repository import Repository


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    done = subprocess.run(
        ["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def commit(folder: Path, **files: str) -> str:
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_text(content)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "one")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    return tmp_path


def test_a_git_that_fails_is_an_error_and_not_an_empty_list(folder: Path) -> None:
    commit(folder, dvc_lock="1")
    (folder / ".git/HEAD").unlink()
    for listing in (Repository.commits, Repository.experiments, Repository.labels):
        with pytest.raises(PipelineError, match=r"git .* failed in .*: fatal: not a git repo"):
            listing(Repository(folder))


def test_branches_are_seen_from_one_without_a_commit(folder: Path) -> None:
    assert Repository(folder).commits() == []
    first = commit(folder, dvc_lock="1")
    git(folder, "checkout", "--quiet", "--orphan", "new")
    assert Repository(folder).commits() == [first]


def test_what_is_missing_from_a_folder_with_a_space_is_missing(folder: Path) -> None:
    project = folder / "my project"
    project.mkdir()
    head = commit(project, params_yaml="seed: 0")
    repository = Repository(project)
    assert repository.read(head, "dvc.lock") is None
    assert repository.read(head, "params.yaml") == b"seed: 0"
    repository.close()


def test_a_commit_of_another_layout_is_passed_over(folder: Path) -> None:
    commit(folder, params_yaml="[]", dvc_yaml="stages: [train]", dvc_lock="stages: 1")
    commit(folder, params_yaml="seed: 0", dvc_yaml="stages: {a: {foreach: [1]}}", dvc_lock="{}")
    repository = Repository(folder)
    found = [content.problem for _, content in origins.discover(repository)]
    repository.close()
    assert found == ["dvc.lock has no stage a: the pipeline has not run to its end"]
