"""What a stage reads, as it was when the stage began: a record is true, or there is none.

DVC hashes a stage's dependencies after its command has ended. What was edited in the meantime would
stand in dvc.lock, in the run-cache and in MLflow as what the results were made from. So a stage
notes its dependencies and parameters before it reads any, and compares before it writes.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from mnist_vae import params
from mnist_vae.errors import PipelineError

PIPELINE = Path("dvc.yaml")
T = TypeVar("T")
Mark = tuple[int, int, int]  # inode, size, time of change: as long as they stay, the content does


class Inputs:
    """The dependencies and parameters of a stage, noted when this is made.

    digests: file -> SHA-256, of a folder's files each. Raises PipelineError for a stage that
    dvc.yaml does not have and for a fault in params.yaml.
    """

    def __init__(self, stage: str) -> None:
        self.stage = stage
        try:
            stages = params.parse(PIPELINE.read_bytes(), str(PIPELINE))["stages"]
        except FileNotFoundError:
            raise PipelineError(f"{PIPELINE} does not exist; run from the project's root") from None
        if stage not in stages:
            raise PipelineError(f"there is no stage {stage}; dvc.yaml has {', '.join(stages)}")
        self._deps = [Path(name) for name in stages[stage]["deps"]]
        self._marks = {file: _mark(file) for file in _files(self._deps)}
        self.digests = {file: _digest(file) for file in self._marks}
        self._values = params.check()
        listed = stages[stage].get("params", [])
        keys = [name for name in listed if isinstance(name, str)]
        self._keys = keys if len(keys) == len(listed) else list(self._values)  # a whole file

    def reads(self, kind: type) -> bool:
        """Are the keys that the dataclass `kind` names among the stage's params in dvc.yaml?"""
        return {field.name for field in dataclasses.fields(kind)} <= set(self._keys)

    def load(self, kind: type[T]) -> T:
        """The noted values of the keys that the frozen dataclass `kind` names."""
        return params.select(kind, self._values)

    @property
    def digest(self) -> str:
        """A hash of all dependencies and parameters."""
        values = {key: self._values[key] for key in self._keys}
        files = {str(file): digest for file, digest in self.digests.items()}
        text = json.dumps([files, values], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def check_untouched(self) -> None:
        """Raise PipelineError if a file has been written since: what was read is then unknown."""
        for file, mark in self._marks.items():
            if _mark(file) != mark:
                raise self._changed(f"{file} was written while {self.stage} was reading it")

    def check(self) -> None:
        """Raise PipelineError, one line, if a dependency or a parameter is not as it was noted."""
        for file in [*self._marks, *_files(self._deps)]:
            if file not in self._marks:
                raise self._changed(f"{file} was added while {self.stage} ran")
            mark = _mark(file)
            if mark is None and self._marks[file] is not None:
                raise self._changed(f"{file} has vanished while {self.stage} ran")
            if mark != self._marks[file]:
                if _digest(file) != self.digests[file]:
                    raise self._changed(f"{file} was changed while {self.stage} ran")
                self._marks[file] = mark  # an edit that was undone
        try:
            now: dict[str, Any] = params.parse(params.PARAMS.read_bytes(), str(params.PARAMS))
        except FileNotFoundError:
            raise self._changed(f"{params.PARAMS} has vanished while {self.stage} ran") from None
        except PipelineError as error:
            raise self._changed(f"{error}, and was when {self.stage} began") from None
        for key in self._keys:
            if key not in now or now[key] != self._values[key]:
                new = f"is {now[key]!r}" if key in now else "is missing"
                raise self._changed(
                    f"{params.PARAMS}: {key} was {self._values[key]!r} when {self.stage} began "
                    f"and {new} now"
                )

    def _changed(self, what: str) -> PipelineError:
        return PipelineError(
            f"{what}; DVC would record the results under what they were not made from, so there "
            "are none: undo the change, or leave it, and run `dvc repro` or `dvc exp run` again"
        )


def _files(paths: list[Path]) -> Iterator[Path]:
    """The files, and those in the folders; what .dvcignore names is left out."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        for file in sorted(path.rglob("*")):
            ignored = "__pycache__" in file.parts or file.suffix == ".tmp"
            if not ignored and not file.is_dir():
                yield file


def _mark(file: Path) -> Mark | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _digest(file: Path) -> str:
    """SHA-256 of a file; empty if it is gone."""
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except FileNotFoundError:
        return ""
