"""A temporary project to measure in: the checkout's sources, params.yaml as it is but for some."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import data
from tests.support.checkout import ROOT
from tests.support.sandbox import Project, make_project


@contextmanager
def make(tiny: bool = False, **settings: object) -> Iterator[Project]:
    """A committed project that has run nothing yet; its data come from a local folder."""
    with tempfile.TemporaryDirectory(prefix="benchmark-", ignore_cleanup_errors=True) as folder:
        project = make_project(Path(folder) / "project", data.prepare() / "MNIST/raw")
        if not tiny:
            text = (ROOT / "params.yaml").read_text(encoding="utf-8")
            (project.folder / "params.yaml").write_text(text, encoding="utf-8")
        project.set(**settings)
        project.git("add", "--all")
        project.git("commit", "--quiet", "--allow-empty", "--message", "settings")
        yield project
