"""params.yaml, checked against params.schema.json and handed out as typed, frozen objects."""

import dataclasses
import datetime
import difflib
import json
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from jsonschema import Draft202012Validator
from jsonschema.validators import extend
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from mnist_vae.errors import PipelineError

PARAMS = Path("params.yaml")
SCHEMA = Path("params.schema.json")
T = TypeVar("T")
_SCALARS = (str, bytes, int, float, datetime.date, type(None))


def _is_number(_: object, value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return _is_integer(_, value)


def _is_integer(_: object, value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


# JSON Schema takes 2.0 for an integer and NaN for a number; we take neither.
_Validator = extend(
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine_many(
        {"number": _is_number, "integer": _is_integer}
    ),
)


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
    try:
        values = parse(path.read_bytes(), str(path))
    except FileNotFoundError:
        raise PipelineError(f"{path} does not exist; run from the project's root") from None
    rules = json.loads(schema.read_text(encoding="utf-8"))
    known = rules["properties"]
    for key in values:
        if key not in known:
            close = difflib.get_close_matches(key if isinstance(key, str) else "", known, 1)
            hint = f"; did you mean {close[0]}?" if close else f"; known keys are in {schema}"
            raise PipelineError(f"{path}: unknown key {_shown(key)}{hint}")
    for key in known:
        if key not in values:
            raise PipelineError(f"{path}: {key} is missing; it must be {_allowed(known[key])}")
        if not _valid(known[key], values[key]):
            shown = _shown(values[key])
            raise PipelineError(f"{path}: {key} is {shown}; it must be {_allowed(known[key])}")
    if problem := _conflict(values):
        raise PipelineError(f"{path}: {problem}")
    return values


def _conflict(values: Mapping[str, Any]) -> str:
    """What of the values does not go together, each of them being allowed; empty if nothing."""
    points, units = values.get("quadrature_points"), values.get("latent_dim")
    extent = values.get("quadrature_extent", 0)
    least = math.ceil(2 * extent) + 1  # a prior deviation between two points of the grid
    if points and units != 2:
        return f"quadrature_points is {points}; it must be 0 with latent_dim {units}, not 2"
    if points and points < least:
        return (
            f"quadrature_points is {points}; it must be 0, for none, or from {least} with "
            f"quadrature_extent {extent}"
        )
    layers = values.get("hidden_sizes")
    if values.get("architecture") == "conv" and layers and len(layers) < 2:
        return (
            f"hidden_sizes is {layers}; with architecture conv it must have at least two entries: "
            "the channels of both convolutions"
        )
    epochs = values.get("epochs", math.inf)
    if (beta_warmup := values.get("kl_warmup_epochs", 0)) > epochs:
        return f"kl_warmup_epochs is {beta_warmup}; it must be at most epochs, {epochs}"
    warmup = values.get("importance_warmup_epochs", 0)
    if values.get("objective") == "elbo":
        return ""
    if warmup >= epochs:
        return f"importance_warmup_epochs is {warmup}; it must be below epochs, which is {epochs}"
    if values.get("importance_lr_scale") and not warmup:
        return (
            f"importance_lr_scale is {values['importance_lr_scale']}; it must be 0 with "
            "importance_warmup_epochs 0: the second cycle comes after that warm-up"
        )
    return ""


def parse(content: bytes, name: str) -> dict[str, Any]:
    """Keys and values of a YAML file's bytes.

    Raises PipelineError, one line that calls the file `name`, whatever the bytes are.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # of anchors that are used twice
            # YAML 1.2, as DVC writes it: `1e-05` is a number.
            values = YAML(typ="safe", pure=True).load(content.decode())
    except RecursionError:
        raise PipelineError(f"{name} is not valid YAML: it is nested too deeply") from None
    except (YAMLError, ValueError) as error:
        detail = " ".join(str(error).split("To suppress this check")[0].split())
        raise PipelineError(f"{name} is not valid YAML: {detail}") from None
    except (LookupError, ArithmeticError, TypeError, AttributeError, AssertionError) as error:
        detail = f"a tag does not fit its value ({type(error).__name__})"  # the parser's own bugs
        raise PipelineError(f"{name} is not valid YAML: {detail}") from None
    if not isinstance(values, dict):
        raise PipelineError(f"{name} must hold `key: value` lines")
    return values


def _shown(value: object) -> str:
    """The value on one line of limited length."""
    if not _is_flat(value):
        return "nested or too long"
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # Python writes out no integer of more than 4300 digits
        return "a number of thousands of digits"
    return text if len(text) <= 80 else text[:77] + "..."


def _valid(rule: dict[str, Any], value: object) -> bool:
    try:
        return _is_flat(value) and bool(_Validator(rule).is_valid(value))
    except ValueError:  # as in _shown
        return False


def _is_flat(value: object) -> bool:
    """A scalar or a short list of scalars; aliases make anything else larger than its text."""
    entries = value if isinstance(value, list) else [value]
    return len(entries) <= 100 and all(isinstance(entry, _SCALARS) for entry in entries)


def _allowed(rule: dict[str, Any]) -> str:
    """Say in words what a property's rule allows."""
    if "enum" in rule:
        return " or ".join(map(str, rule["enum"]))
    if rule["type"] == "array":
        least, most = rule["minItems"], rule["maxItems"]
        return f"a list of {least} to {most} entries, each {_allowed(rule['items'])}"
    noun = {"integer": "a whole number", "number": "a number"}[rule["type"]]
    lower = (
        f"above {rule['exclusiveMinimum']}"
        if "exclusiveMinimum" in rule
        else f"from {rule['minimum']}"
    )
    return f"{noun} {lower} to {rule['maximum']}"


def _convert(value: Any, annotation: object) -> Any:
    if annotation in (float, "float"):
        return float(value)
    return tuple(value) if isinstance(value, list) else value
