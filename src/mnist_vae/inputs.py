"""What a stage reads, as it was when the stage began: a record is true, or there is none.

DVC hashes a stage's dependencies after its command has ended. What was edited in the meantime would
stand in dvc.lock, in the run-cache and in MLflow as what the results were made from. So a stage
notes its dependencies and parameters before it reads any, and compares before it writes.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import Template
from typing import Any, TypeVar

from mnist_vae import packages, params
from mnist_vae.errors import PipelineError

PIPELINE = Path("dvc.yaml")
T = TypeVar("T")
Mark = tuple[int, int, int]  # inode, size, time of change: as long as they stay, the content does


class Inputs:
    """The dependencies and parameters of a stage, noted when this is made.

    digests: file -> SHA-256, of a folder's files each. Raises PipelineError for a stage that
    dvc.yaml does not have, for a fault in params.yaml, and where a package of the stage is not
    installed in the version of packages.yaml.
    """

    def __init__(self, stage: str) -> None:
        self.stage = stage
        stages = params.held(PIPELINE, _text(PIPELINE))["stages"]
        if stage not in stages:
            raise PipelineError(f"there is no stage {stage}; dvc.yaml has {', '.join(stages)}")
        keys_of = listed(stages[stage].get("params", []))
        self._texts = {file: _text(file) for file in (params.PARAMS, *keys_of)}
        held = {file: params.held(file, text) for file, text in self._texts.items()}
        self._values = params.checked(held[params.PARAMS])
        self._deps = [Path(filled(name, self._values)) for name in stages[stage]["deps"]]
        self._marks = {file: _mark(file) for file in _files(self._deps)}
        self.digests = {file: _digest(file) for file in self._marks}
        self._noted = {file: _noted(file, held[file], keys) for file, keys in keys_of.items()}
        packages.refuse(self._noted.get(packages.PACKAGES, {}))

    def reads(self, kind: type) -> bool:
        """Are the keys that the dataclass `kind` names among the stage's params in dvc.yaml?"""
        noted = self._noted.get(params.PARAMS, {})
        return {field.name for field in dataclasses.fields(kind)} <= noted.keys()

    def load(self, kind: type[T]) -> T:
        """The noted values of the keys that the frozen dataclass `kind` names."""
        return params.select(kind, self._values)

    @property
    def digest(self) -> str:
        """A hash of all dependencies and parameters."""
        files = {str(file): digest for file, digest in self.digests.items()}
        values = {str(file): noted for file, noted in self._noted.items()}
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
        for file, values in self._noted.items():
            text = _text(file)
            if text == self._texts[file]:
                continue
            if text is None:
                raise self._changed(f"{file} has vanished while {self.stage} ran")
            try:
                now = params.parse(text, str(file))
            except PipelineError as error:
                raise self._changed(f"{error}, and was when {self.stage} began") from None
            for key, value in values.items():
                if key not in now or now[key] != value:
                    new = f"is {now[key]!r}" if key in now else "is missing"
                    raise self._changed(
                        f"{file}: {key} was {value!r} when {self.stage} began and {new} now"
                    )

    def _changed(self, what: str) -> PipelineError:
        return PipelineError(
            f"{what}; DVC would record the results under what they were not made from, so there "
            "are none: undo the change, or leave it, and run `dvc repro` or `dvc exp run` again"
        )


def listed(entries: list[Any]) -> dict[Path, list[str] | None]:
    """The keys that a stage's params in dvc.yaml name, by file; None for a whole file."""
    found: dict[Path, list[str] | None] = {}
    for entry in entries:
        if isinstance(entry, str):
            found[params.PARAMS] = [*(found.get(params.PARAMS) or []), entry]
        else:
            found |= {Path(file): keys for file, keys in entry.items()}
    return found


def filled(path: str, values: Mapping[str, Any]) -> str:
    """A path of dvc.yaml with the parameters in place of their `${names}`, as DVC fills them in."""
    return Template(path).safe_substitute(values)


def _noted(file: Path, values: dict[str, Any], keys: list[str] | None) -> dict[str, Any]:
    if missing := [key for key in keys or [] if key not in values]:
        raise PipelineError(f"{file}: {missing[0]} is missing")
    return {key: values[key] for key in keys or values}


def _text(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None


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
