"""What params.yaml must not hold: each mistake is one line, and nothing is done before it is said.

Nothing here hands out a value, so that a reworded message changes no result: dvc.yaml does not list
this file.
"""

import difflib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.validators import extend

from mnist_vae.errors import PipelineError
from mnist_vae.images import SIDE


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


def refuse(values: Mapping[str, Any], name: str, schema: Path) -> None:
    """Raise PipelineError for the first mistake in the values of the file called `name`.

    The line names the key, its value and what is allowed.
    """
    known = rules(schema)
    for key in values:
        refuse_key(key, known, name, schema)
    for key in known:
        if key not in values:
            raise PipelineError(f"{name}: {key} is missing; it must be {_allowed(known[key])}")
        refuse_value(key, values[key], known[key], name)
    if problem := _conflict(values):
        raise PipelineError(f"{name}: {problem}")


def rules(schema: Path) -> dict[str, dict[str, Any]]:
    """What each key may be, in the terms of JSON Schema."""
    found: dict[str, dict[str, Any]] = json.loads(schema.read_text(encoding="utf-8"))["properties"]
    return found


def refuse_key(key: object, known: Mapping[str, Any], name: str, schema: Path) -> None:
    """Raise PipelineError if there is no such key; the line names the one that may be meant."""
    if key not in known:
        close = difflib.get_close_matches(key if isinstance(key, str) else "", known, 1)
        hint = f"; did you mean {close[0]}?" if close else f"; known keys are in {schema}"
        raise PipelineError(f"{name}: unknown key {shown(key)}{hint}")


def refuse_value(key: str, value: object, rule: dict[str, Any], name: str) -> None:
    """Raise PipelineError if the rule does not allow the value, each for itself."""
    if not _fits(value, rule):
        raise PipelineError(f"{name}: {key} is {shown(value)}; it must be {_allowed(rule)}")


def _fits(value: object, rule: Mapping[str, Any]) -> bool:
    try:
        return bool(_Validator(rule).is_valid(value))
    except ValueError:  # it writes the value out, and Python no number of thousands of digits
        return False


def _conflict(values: Mapping[str, Any]) -> str:
    """What of the values does not go together, each of them being allowed; empty if nothing."""
    dataset = values.get("dataset")
    for key, only in (("image_size", SIDE), ("test_images", 0)):  # that the downloaded sets have
        if dataset != "folder" and values.get(key, only) != only:
            return f"{key} is {values[key]}; it must be {only} with dataset {dataset}"
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


def shown(value: object) -> str:
    """The value on one line of limited length."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # as above
        text = "a number that is too long to show"
    return text if len(text) <= 80 else text[:77] + "..."


def _allowed(rule: dict[str, Any]) -> str:
    """Say in words what a property's rule allows."""
    if "enum" in rule:
        return " or ".join(map(str, rule["enum"]))
    if rule["type"] == "array":
        least, most = rule["minItems"], rule["maxItems"]
        return f"a list of {least} to {most} entries, each {_allowed(rule['items'])}"
    if rule["type"] == "string":
        return "the path of a folder, in quotes if it is a number, without ~ and $"
    noun = {"integer": "a whole number", "number": "a number"}[rule["type"]]
    lower = (
        f"above {rule['exclusiveMinimum']}"
        if "exclusiveMinimum" in rule
        else f"from {rule['minimum']}"
    )
    return f"{noun} {lower} to {rule['maximum']}"
