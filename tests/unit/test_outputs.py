"""Metrics in Git are only those of the dvc.lock beside them."""

from pathlib import Path

import pytest

from mnist_vae.errors import PipelineError
from mnist_vae.experiments import outputs
from mnist_vae.experiments.repository import Repository
from mnist_vae.experiments.snapshot import EVALUATION, Snapshot
from tests.support.git import commit, git


def test_metrics_of_another_run_are_refused(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    empty = commit(tmp_path, other_txt="")
    (tmp_path / EVALUATION).parent.mkdir()
    (tmp_path / EVALUATION).write_text("{}\n")
    held = commit(tmp_path, other_txt="1")
    (tmp_path / EVALUATION).write_text('{"greyscale": {}}\n')
    older = commit(tmp_path, other_txt="2")  # with the dvc.lock of before
    snapshot = Snapshot({}, "", "", {EVALUATION: outputs.md5(b"{}\n")}, "")
    with Repository(tmp_path) as repository:
        assert outputs.in_git(repository, held, snapshot, EVALUATION) == b"{}\n"
        for one in (older, empty):
            with pytest.raises(PipelineError, match=f"{EVALUATION} in {one[:7]} is not what its"):
                outputs.in_git(repository, one, snapshot, EVALUATION)
