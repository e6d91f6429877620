"""Does a committed state give its committed results again, byte for byte?"""

import csv
import hashlib
import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays

from mnist_vae.errors import PipelineError
from mnist_vae.experiments import outputs
from mnist_vae.experiments import snapshot as snapshots
from mnist_vae.experiments.repository import Repository

RAW = Path("data/raw")


@dataclass(frozen=True)
class Difference:
    """An output that came out differently; `detail` says by how much, where that can be told."""

    stage: str
    path: str
    detail: str


def verify(root: Path, revision: str, folder: Path | None = None) -> tuple[int, list[Difference]]:
    """Run a commit's or experiment's pipeline from nothing and compare it with its dvc.lock.

    The clone in a temporary folder (inside `folder`) has no DVC cache, and every stage but `track`
    runs there. MNIST comes from MNIST_MIRROR, or else from this project's data/raw if it is there:
    its bytes are checked against their pinned hashes either way.

    Returns the number of outputs compared and the differences, in the pipeline's order.
    Raises PipelineError if the revision is unknown, its dvc.lock is missing or out of date, or the
    pipeline fails.
    """
    with Repository(root) as repository:
        commit = repository.resolve(revision)
        if not commit:
            raise PipelineError(f"{revision} is neither a revision nor an experiment's name")
        committed = snapshots.load(lambda path: repository.read(commit, path))
        if committed.problem:
            raise PipelineError(
                f"{revision}: {committed.problem}; run `dvc repro` and commit first"
            )
        with tempfile.TemporaryDirectory(prefix="verify-", dir=folder) as name:
            whole, top = Path(name) / "project", repository.git("rev-parse", "--show-toplevel")
            _run(["git", "clone", "--quiet", "--no-checkout", top, str(whole)], root)
            _run(["git", "fetch", "--quiet", top, commit], whole)
            _run(["git", "checkout", "--quiet", "--detach", commit], whole)
            clone = whole / repository.prefix
            _run(["dvc", "repro", "--force", "--no-run-cache", "plots"], clone, _environment(root))
            stages = snapshots.producers(snapshots.workspace(clone))
            again = snapshots.load(snapshots.workspace(clone)).outputs
            differences = [
                Difference(stages[path], path, _detail(repository, commit, path, md5, clone / path))
                for path, md5 in committed.outputs.items()
                if again.get(path) != md5
            ]
    return len(committed.outputs), differences


def changes(root: Path) -> tuple[int, list[Difference]]:
    """Compare the outputs in the workspace with those of HEAD's dvc.lock: as `verify`.

    Raises PipelineError if either has none.
    """
    with Repository(root) as repository:
        head = repository.commit("HEAD")
        committed = snapshots.load(lambda path: repository.read(head, path) if head else None)
        here = snapshots.workspace(root)
        now = snapshots.load(here)
        if problem := committed.problem or now.problem:
            raise PipelineError(f"there is nothing to compare: {problem}")
        stages = snapshots.producers(here)
        return len(committed.outputs), [
            Difference(stages[path], path, _detail(repository, head, path, md5, root / path))
            for path, md5 in committed.outputs.items()
            if now.outputs.get(path) != md5 and path in stages
        ]


def _environment(root: Path) -> dict[str, str]:
    """Ours, less what DVC sets for a stage's command, and without the live view in MLflow."""
    of_a_stage = ("DVC_ROOT", "DVC_STAGE", "DVC_EXP_")
    ours = {name: value for name, value in os.environ.items() if not name.startswith(of_a_stage)}
    ours["MNIST_VAE_LIVE"] = "off"
    mirror = ours.get("MNIST_MIRROR", "")
    if mirror and "://" not in mirror:  # the clone is elsewhere
        ours["MNIST_MIRROR"] = str(Path(mirror).resolve())
    if (root / RAW).is_dir():
        ours.setdefault("MNIST_MIRROR", str((root / RAW).resolve()))
    return ours


def _detail(repository: Repository, commit: str, path: str, md5: str, now: Path) -> str:
    before = repository.read(commit, path)
    if before is None:
        cached = outputs.cached(repository.folder, md5)
        before = cached.read_bytes() if cached else None
    if before is None:
        return "the committed bytes are not in the DVC cache, so there is no measure"
    return listing(before, now) if now.is_dir() else describe(path, before, now.read_bytes())


def listing(before: bytes, now: Path) -> str:
    """Which files of a folder differ from DVC's listing of it, a JSON list of path and md5."""
    old = {entry["relpath"]: entry["md5"] for entry in json.loads(before)}
    new = {
        str(file.relative_to(now)): hashlib.md5(file.read_bytes(), usedforsecurity=False)
        for file in now.rglob("*")
        if file.is_file()
    }
    differ = [
        name
        for name in sorted(old.keys() | new.keys())
        if name not in old or name not in new or old[name] != new[name].hexdigest()
    ]
    return f"other content: {', '.join(differ)}"


def describe(path: str, before: bytes, after: bytes) -> str:
    """How far two versions of a file are apart, in words: numbers by their largest difference."""
    try:
        old, new = _numbers(path, before), _numbers(path, after)
    except (ValueError, SafetensorError):
        return "one of the two versions is damaged"
    if not old or not new:
        return f"{len(before):,} bytes before, {len(after):,} now"
    if old.keys() != new.keys():
        return f"holds other entries: {', '.join(sorted(old.keys() ^ new.keys()))}"
    largest, where = 0.0, ""
    for name in old:
        if old[name].shape != new[name].shape:
            return f"{name} has another shape: {old[name].shape} before, {new[name].shape} now"
        if not np.array_equal(old[name], new[name], equal_nan=True):
            apart = float(np.abs(old[name].astype(float) - new[name].astype(float)).max())
            if not where or not apart <= largest:  # NaN counts as far apart
                largest, where = apart, name
    return f"largest difference {largest:.3g}, in {where}" if where else "the numbers are equal"


def _numbers(path: str, content: bytes) -> dict[str, np.ndarray]:
    """All numbers of a file by name; none if it is not a file of numbers."""
    match Path(path).suffix:
        case ".safetensors":
            return load_arrays(content)
        case ".json":
            return {name: np.array(value) for name, value in _leaves(json.loads(content), "")}
        case ".csv":
            rows = list(csv.DictReader(content.decode().splitlines()))
            names = rows[0] if rows else {}
            return {name: np.array([float(row[name] or "nan") for row in rows]) for name in names}
    return {}


def _leaves(value: Any, name: str) -> list[tuple[str, float]]:
    if isinstance(value, Mapping):
        return [
            leaf
            for key, inner in value.items()
            for leaf in _leaves(inner, f"{name}.{key}".strip("."))
        ]
    return [(name, value)] if isinstance(value, int | float) else []


def _run(command: list[str], cwd: Path, env: dict[str, str] | None = None) -> str:
    """Run a program and return what it prints; the pipeline prints to the terminal."""
    pipeline = command[:2] == ["dvc", "repro"]
    done = subprocess.run(
        command, cwd=cwd, env=env, text=True, check=False, capture_output=not pipeline
    )
    if done.returncode:
        detail = "" if pipeline else f": {done.stderr.strip()}"
        raise PipelineError(f"`{' '.join(command[:2])}` failed in the verification{detail}")
    return done.stdout or ""
