"""What a clone for `vae verify` may take of a user's images, and what it must leave alone."""

import subprocess
from pathlib import Path

import pytest

from mnist_vae import reproduce
from mnist_vae.errors import PipelineError
from mnist_vae.experiments.repository import Repository
from tests.support.git import git


def test_images_outside_of_the_clone_are_left_alone(tmp_path: Path) -> None:
    images, project, place = tmp_path / "registry/mine", tmp_path / "project", tmp_path / "place"
    images.mkdir(parents=True)
    (images / "one.png").write_bytes(b"one")
    (images.parent / "mine.dvc").write_text("outs:\n- path: mine\n")  # of another project
    project.mkdir()
    git(project, "init", "--quiet", "--initial-branch=main")
    (project / "dvc.yaml").write_text(
        f"stages:\n  preprocess:\n    cmd: 'true'\n    deps:\n    - {images}\n"
    )
    for command in (["init", "--quiet"], ["repro", "--quiet"]):
        subprocess.run(["dvc", *command], cwd=project, check=True)
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "one")
    git(tmp_path, "clone", "--quiet", str(project), str(place / "project"))
    (images / "two.png").write_bytes(b"two")
    with Repository(project) as repository, pytest.raises(PipelineError, match="other images"):
        reproduce._bring_images(repository, "HEAD", str(images), place / "project", place)
    assert sorted(path.name for path in images.iterdir()) == ["one.png", "two.png"]
