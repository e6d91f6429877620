"""How the outputs of two runs of a pipeline differ, and whether that is a different result."""

import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays

from mnist_vae.errors import PipelineError
from mnist_vae.experiments import outputs, pipeline
from mnist_vae.experiments import snapshot as snapshots
from mnist_vae.experiments.repository import Repository
from mnist_vae.experiments.snapshot import EVALUATION, HISTORY, Snapshot

DATA = "data/"  # what no arithmetic may change
STANDARD_ERRORS = 2.0  # as far as another CPU or GPU may bring a metric from what it was


@dataclass(frozen=True)
class Difference:
    """An output that came out differently; `detail` says by how much, where that can be told."""

    stage: str
    path: str
    detail: str

    def __str__(self) -> str:
        return f"{self.path} of stage {self.stage}: {self.detail}"


@dataclass(frozen=True)
class Verdict:
    """identical, within tolerance, or different; the differences, and what they mean."""

    kind: str
    compared: int
    differences: list[Difference]
    reasons: list[str]


def workspace(root: Path) -> Verdict:
    """Compare the outputs in the workspace with those of HEAD's dvc.lock.

    Raises PipelineError if either has none.
    """
    with Repository(root) as repository:
        head = repository.commit("HEAD")
        committed = snapshots.load(lambda path: repository.read(head, path) if head else None)
        now = snapshots.load(snapshots.workspace(root))
        if problem := committed.problem or now.problem:
            raise PipelineError(f"there is nothing to compare: {problem}")
        return compare(repository, head, committed, now, root)


def compare(
    repository: Repository, commit: str, committed: Snapshot, now: Snapshot, folder: Path
) -> Verdict:
    """Compare a commit's outputs with those of the same pipeline in `folder`, whose is `now`."""

    def before(path: str) -> bytes | None:
        found = repository.read(commit, path)
        if found is None and (cached := outputs.cached(repository.folder, committed.outputs[path])):
            found = cached.read_bytes()
        return found

    stages = pipeline.producers(snapshots.workspace(folder))
    differences = [
        Difference(stages[path], path, _detail(path, before(path), folder / path))
        for path, md5 in committed.outputs.items()
        if now.outputs.get(path) != md5 and path in stages
    ]
    count = len(committed.outputs)
    if not differences:
        return Verdict("identical", count, [], [])
    same_data = not any(difference.path.startswith(DATA) for difference in differences)
    close, reasons = _metrics(before, folder)
    kind = "within tolerance" if same_data and close else "different"
    return Verdict(kind, count, differences, reasons)


def _metrics(before: Callable[[str], bytes | None], folder: Path) -> tuple[bool, list[str]]:
    """Is every metric with a standard error within STANDARD_ERRORS of what it was, and in words.

    Metrics without one and the curves are told and decide nothing.
    """
    old, new = before(EVALUATION), snapshots.workspace(folder)(EVALUATION)
    if old is None or new is None:
        return False, [f"{EVALUATION} is missing"]
    was, now = (_numbers(EVALUATION, content) for content in (old, new))
    if was.keys() != now.keys():
        return False, [f"{EVALUATION} holds other entries"]
    close, lines = True, []
    for name in was:
        apart = abs(float(now[name]) - float(was[name]))
        error = float(was.get(f"{name}_se", np.nan))
        if name.endswith("_se") or apart == 0:
            continue
        line = f"{name}: {float(was[name]):.6g} before, {float(now[name]):.6g} now"
        if np.isfinite(error) and error > 0:
            close = close and apart <= STANDARD_ERRORS * error
            line += f", {apart / error:.2g} standard errors apart"
        close = close and bool(np.isfinite(apart))
        lines.append(line)
    old, new = before(HISTORY), snapshots.workspace(folder)(HISTORY)
    if old and new and old != new:
        lines.append(f"curves: {describe(HISTORY, old, new)}")
    return close, lines


def _detail(path: str, before: bytes | None, now: Path) -> str:
    if before is None:
        return "the committed bytes are not in the DVC cache, so there is no measure"
    return listing(before, now) if now.is_dir() else describe(path, before, now.read_bytes())


def listing(before: bytes, now: Path) -> str:
    """Which files of a folder differ from DVC's listing of it, a JSON list of path and md5."""
    old = {entry["relpath"]: entry["md5"] for entry in json.loads(before)}
    new = {
        str(file.relative_to(now)): outputs.md5(file.read_bytes())
        for file in now.rglob("*")
        if file.is_file()
    }
    differ = [
        name
        for name in sorted(old.keys() | new.keys())
        if name not in old or name not in new or old[name] != new[name]
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
