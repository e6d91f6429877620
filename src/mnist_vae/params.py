"""params.yaml, handed out as typed, frozen objects once `refusals` has found no mistake in it."""

import dataclasses
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from ruamel.yaml import YAML

from mnist_vae import refusals
from mnist_vae.errors import PipelineError

PARAMS = Path("params.yaml")
SCHEMA = Path("params.schema.json")
T = TypeVar("T")


def load(kind: type[T], path: Path = PARAMS, schema: Path = SCHEMA) -> T:
    """Check all of params.yaml and return the keys that the frozen dataclass `kind` names.

    Raises PipelineError, one line naming the key, its value and what is allowed, for the first
    mistake anywhere in the file: a wrong plot setting stops the pipeline before any training.
    """
    return select(kind, check(path, schema))


def select(kind: type[T], values: Mapping[str, Any]) -> T:
    """The frozen dataclass `kind`, made of those of the checked values that it names."""
    fields = {field.name: field.type for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: _convert(values[name], annotation) for name, annotation in fields.items()})


def check(path: Path = PARAMS, schema: Path = SCHEMA) -> dict[str, Any]:
    """Return all keys and values of params.yaml; PipelineError as `load`."""
    return checked(held(path, path.read_bytes() if path.exists() else None), path, schema)


def checked(values: dict[str, Any], path: Path = PARAMS, schema: Path = SCHEMA) -> dict[str, Any]:
    """The keys and values of a parsed params.yaml, if no mistake is in them."""
    refusals.refuse(values, str(path), schema)
    return values


def held(path: Path, content: bytes | None) -> dict[str, Any]:
    """Keys and values of one of the project's YAML files (None: there is none), as `parse`."""
    if content is None:
        raise PipelineError(f"{path} does not exist; run from the project's root")
    return parse(content, str(path))


def parse(content: bytes, name: str) -> dict[str, Any]:
    """Keys and values of a YAML file's bytes.

    Raises PipelineError, one line that calls the file `name`, whatever the bytes are.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # of anchors that are used twice
            # YAML 1.2, as DVC writes it: `1e-05` is a number.
            values = YAML(typ="safe", pure=True).load(content.decode())
    except Exception as error:  # the parser's own kinds, and its slips on odd files
        detail = " ".join(str(error).split("To suppress this check")[0].split())
        if isinstance(error, LookupError):
            detail = "a tag does not fit its value"
        raise PipelineError(f"{name} is not valid YAML: {detail or type(error).__name__}") from None
    if not isinstance(values, dict):
        raise PipelineError(f"{name} must hold `key: value` lines")
    return values


def _convert(value: Any, annotation: object) -> Any:
    if annotation in (float, "float"):
        return float(value)
    return tuple(value) if isinstance(value, list) else value
