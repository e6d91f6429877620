"""Real DVC in temporary Git repositories: the checkout's sources, real MNIST, tiny settings."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.sandbox import Project, make_project


@pytest.fixture
def project(tmp_path: Path, mnist_raw: Path) -> Iterator[Project]:
    """A project that has run nothing yet, with a DVC cache of its own."""
    project = make_project(tmp_path / "project", mnist_raw)
    yield project
    shutil.rmtree(project.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def reproduced(tmp_path_factory: pytest.TempPathFactory, mnist_raw: Path) -> Iterator[Project]:
    """A project after one `dvc repro`, committed. Don't change it: `copy` it."""
    folder = tmp_path_factory.mktemp("reproduced")
    project = make_project(folder / "a project, größer", mnist_raw)
    project.dvc("config", "--local", "cache.dir", str(folder / "cache"))
    project.dvc("config", "--local", "cache.type", "symlink")  # copies cost nothing
    project.dvc("repro", MNIST_VAE_LIVE="off")  # no process is left that could write to a copy
    project.commit("results")
    yield project
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def copied(reproduced: Project, tmp_path: Path) -> Project:
    """A copy of `reproduced` to change."""
    return reproduced.copy(tmp_path / "copy")
