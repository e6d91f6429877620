"""params.yaml, checked against params.schema.json and handed out as typed, frozen objects."""

import dataclasses
import difflib
import json
import math
from pathlib import Path
from typing import Any, TypeVar

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from mnist_vae.errors import PipelineError

PARAMS = Path("params.yaml")
SCHEMA = Path("params.schema.json")
T = TypeVar("T")


def _is_number(_: object, value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


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
    values = check(path, schema)
    fields = {field.name: field.type for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: _convert(values[name], annotation) for name, annotation in fields.items()})


def check(path: Path = PARAMS, schema: Path = SCHEMA) -> dict[str, Any]:
    """Return all keys and values of params.yaml; PipelineError as `load`."""
    try:
        # YAML 1.2, as DVC writes it: `1e-05` is a number.
        values = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PipelineError(f"{path} does not exist; run from the project's root") from None
    except (YAMLError, UnicodeDecodeError, ValueError) as error:
        detail = " ".join(str(error).split("To suppress this check")[0].split())
        raise PipelineError(f"{path} is not valid YAML: {detail}") from None
    if not isinstance(values, dict):
        raise PipelineError(f"{path} must hold `key: value` lines")
    rules = json.loads(schema.read_text(encoding="utf-8"))
    known = rules["properties"]
    for key in values:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, 1)
            hint = f"; did you mean {close[0]}?" if close else f"; known keys are in {schema}"
            raise PipelineError(f"{path}: unknown key {key!r}{hint}")
    for key in known:
        if key not in values:
            raise PipelineError(f"{path}: {key} is missing; it must be {_allowed(known[key])}")
        if not _valid(known[key], values[key]):
            shown = repr(values[key])
            shown = shown if len(shown) <= 80 else shown[:77] + "..."
            raise PipelineError(f"{path}: {key} is {shown}; it must be {_allowed(known[key])}")
    return values


def _valid(rule: dict[str, Any], value: object) -> bool:
    try:
        _Validator(rule).validate(value)
    except (ValidationError, RecursionError):
        return False
    return True


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
