"""A sweep's points: combinations of settings, each checked and named before anything runs."""

import hashlib
import itertools
import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mnist_vae import params
from mnist_vae.errors import PipelineError
from mnist_vae.experiments import snapshot as snapshots

BASELINE = "baseline"  # the point that changes nothing
_LONGEST = 100  # characters of an experiment's name


@dataclass(frozen=True)
class Point:
    """An experiment's name, and its settings as `dvc exp run -S` takes them."""

    name: str
    settings: tuple[str, ...]


def grid(settings: Sequence[str]) -> list[list[str]]:
    """All combinations of settings such as `seed=0,1,2`, by the grammar of `dvc exp run --queue`.

    Raises PipelineError for what is not in that grammar.
    """
    from dvc.exceptions import DvcException
    from dvc.utils.hydra import get_hydra_sweeps
    from hydra.errors import HydraException

    names = [setting.partition("=")[0] for setting in settings]
    if twice := [name for name in names if names.count(name) > 1]:
        raise PipelineError(f"{twice[0]} is set twice; write {twice[0]}=1,2 for several values")
    try:
        return [
            combination["params.yaml"]
            for combination in get_hydra_sweeps({"params.yaml": list(settings)})
        ]
    except (DvcException, HydraException) as error:
        raise PipelineError(f"{' '.join(settings)}: {_first_line(error)}") from None


def lines(text: str) -> list[list[str]]:
    """Points from a file: one a line, settings apart by spaces, `#` begins a comment.

    Raises PipelineError for a line that no shell could read.
    """
    split = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            split.append(shlex.split(line, comments=True))
        except ValueError as error:
            raise PipelineError(f"line {number}: {error}: {line}") from None
    return [settings for settings in split if settings]


def check(combinations: Iterable[Sequence[str]], base: bytes, schema: bytes) -> list[Point]:
    """The points of a commit whose params.yaml and params.schema.json these are, in their order.

    Settings that come to the same parameters are one point. Raises PipelineError, one line that
    names the point, for the first that params.yaml must not hold.
    """
    before = params.parse(base, str(params.PARAMS))
    found: dict[str, Point] = {}
    with TemporaryDirectory() as folder:
        rules = Path(folder) / params.SCHEMA.name
        rules.write_bytes(schema)
        effects: dict[str, Mapping[str, Any]] = {}
        for settings in combinations:
            try:
                for setting in settings:
                    if setting not in effects:
                        effects[setting] = _effect(setting, before, rules)
                changes = dict(itertools.chain(*(effects[setting].items() for setting in settings)))
                params.checked(before | changes, params.PARAMS, rules)
            except PipelineError as error:
                problem = str(error).replace(str(rules), rules.name)
                raise PipelineError(f"point {' '.join(settings)}: {problem}") from None
            point = Point(name_of(snapshots.difference(before | changes, before)), tuple(settings))
            found.setdefault(point.name, point)
    return list(found.values())


def _effect(setting: str, before: dict[str, Any], rules: Path) -> Mapping[str, Any]:
    """What DVC makes of one setting: the parameter and its value."""
    from dvc.exceptions import DvcException
    from dvc.utils.hydra import apply_overrides
    from ruamel.yaml.error import YAMLError

    key = setting.partition("=")[0]
    file = rules.parent / params.PARAMS.name
    try:
        if key not in before:  # also the grammar's own +key and ~key
            params.checked(before | {key: None}, params.PARAMS, rules)
        file.write_text(json.dumps({key: before[key]}), encoding="utf-8")  # JSON is YAML
        apply_overrides(file, [setting])
    except DvcException as error:
        raise PipelineError(f"{setting}: {_first_line(error.__cause__ or error)}") from None
    except YAMLError:  # of a range or choice of values
        raise PipelineError(f"{setting}: a point has one value of each parameter") from None
    return {key: params.parse(file.read_bytes(), str(params.PARAMS))[key]}


def name_of(changes: Mapping[str, Any]) -> str:
    """A name after what differs from the commit, so that the same point has it everywhere."""
    if not changes:
        return BASELINE
    plain = "_".join(f"{key}-{_text(value)}" for key, value in changes.items())
    name = re.sub(r"[^A-Za-z0-9_.+-]+|\.(?=\.|lock|_|$)", "-", plain)
    if name == plain and len(name) <= _LONGEST:
        return name
    digest = hashlib.sha256(json.dumps(changes).encode()).hexdigest()[:8]
    return f"{name[: _LONGEST - 9]}-{digest}"


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "x".join(map(_text, value))
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if whole else value)


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
