"""Real DVC in temporary Git repositories: the checkout's sources, real MNIST, tiny settings."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from tests.support.sandbox import Project, make_project


@pytest.fixture
def project(tmp_path: Path, mnist_raw: Path) -> Iterator[Project]:
    """A project that has run nothing yet, with a DVC cache of its own."""
    project = make_project(tmp_path / "project", mnist_raw)
    yield project
    shutil.rmtree(project.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def reproduced(tmp_path_factory: pytest.TempPathFactory, mnist_raw: Path) -> Project:
    """A project after one `dvc repro`, committed. Don't change it: `copy` it.

    Made once; each worker of pytest-xdist has a copy, and a DVC cache of its own that begins as
    links to the one of all.
    """
    mine = tmp_path_factory.getbasetemp()
    common = mine.parent if "PYTEST_XDIST_WORKER" in os.environ else mine
    first, cache = common / "first", common / "first cache"
    with FileLock(common / "first.lock"):
        if not (common / "first.done").exists():
            project = make_project(first, mnist_raw)
            project.dvc("config", "--local", "cache.dir", str(cache))
            project.dvc("config", "--local", "cache.type", "symlink")  # copies cost nothing
            # Without the live view no process is left that could write to a copy.
            project.dvc("repro", MNIST_VAE_LIVE="off")
            project.commit("results")
            (common / "first.done").touch()
    project = Project(first, mnist_raw).copy(mine / "reproduced/a project, größer")
    subprocess.run(["cp", "-rs", cache, mine / "reproduced/cache"], check=True)
    project.dvc("config", "--local", "cache.dir", str(mine / "reproduced/cache"))
    return project


@pytest.fixture
def copied(reproduced: Project, tmp_path: Path) -> Project:
    """A copy of `reproduced` to change."""
    return reproduced.copy(tmp_path / "copy")
