"""The space of a search: for each parameter its choices or its range, checked before any work."""

import itertools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist_vae import params, refusals
from mnist_vae.errors import PipelineError
from mnist_vae.experiments import pipeline as pipelines
from mnist_vae.experiments import snapshot as snapshots
from mnist_vae.experiments.pipeline import Read
from mnist_vae.experiments.snapshot import HISTORY, SEEDS
from mnist_vae.inputs import listed
from mnist_vae.sweep.points import name_of

OTHER_FIGURES = ("dataset", "likelihood", "validation_images")
MACHINE = ("arithmetic", "device", "threads")
_RANGE = ("low", "high", "log", "step")
_MANY = 10_000  # points of a space that is counted
_BESIDE = 0.01  # of a step: as far from it as rounding may bring a value


@dataclass(frozen=True)
class Choices:
    """Values of which any may be taken."""

    values: tuple[Any, ...]

    def __contains__(self, value: object) -> bool:
        return any(_same(value, choice) for choice in self.values)

    def index(self, value: object) -> int:
        """Which one it is."""
        return next(index for index, choice in enumerate(self.values) if _same(value, choice))


@dataclass(frozen=True)
class Range:
    """Numbers from low to high, both included; whole: integers; step None: any number between."""

    low: float
    high: float
    log: bool
    step: float | None
    whole: bool

    def __contains__(self, value: object) -> bool:
        if not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        if self.whole and not isinstance(value, int):
            return False
        steps = (value - self.low) / self.step if self.step else 0.0
        return abs(steps - round(steps)) < _BESIDE

    def rounded(self, value: float) -> float:
        """The value with as few digits as tell a thousandth of the range, or of a step."""
        if self.whole:
            return int(value)
        largest, unit = max(abs(self.low), abs(self.high)), self.step or self.high - self.low
        digits = min(17, 4 + max(0, math.floor(math.log10(largest / unit))))
        return min(max(float(f"{value:.{digits}g}"), self.low), self.high)

    @property
    def steps(self) -> int | None:
        """How many steps it has; None without a step."""
        return round((self.high - self.low) / self.step) if self.step else None

    def at(self, index: int) -> float:
        """The value so many steps from its low end."""
        return self.rounded(self.low + index * (self.step or 1))

    def index(self, value: float) -> int:
        """How many steps a value is from its low end."""
        return round((value - self.low) / (self.step or 1))

    @property
    def values(self) -> tuple[float, ...] | None:
        """All of them, if there are not too many."""
        steps = int(self.high - self.low) if self.whole and not self.step else self.steps
        if steps is None or steps >= _MANY:
            return None
        return tuple(self.at(index) for index in range(steps + 1))


@dataclass(frozen=True)
class Space:
    """What varies, and params.yaml of the commit (`base`), with what the space sets (`others`)."""

    name: str
    varied: Mapping[str, Choices | Range]
    base: Mapping[str, Any]
    others: Mapping[str, Any]

    def of(self, found: Mapping[str, Any]) -> dict[str, Any] | None:
        """The varied values in an experiment's parameters; None if it is not one of the space."""
        values = {key: found[key] for key in self.varied if key in found}
        apart = snapshots.difference(found, {**self.base, **self.others, **values})
        inside = len(values) == len(self.varied) and all(
            value in self.varied[key] for key, value in values.items()
        )
        return values if inside and not apart else None

    def params(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters of a point."""
        return {**self.base, **self.others, **values}

    def experiment(self, values: Mapping[str, Any]) -> str:
        """The name of a point's experiment, the same as in sweeps and for `vae seeds`."""
        return name_of(snapshots.difference(self.params(values), self.base))

    def settings(self, values: Mapping[str, Any]) -> list[str]:
        """A point as `dvc exp run -S` takes it: what differs from the commit."""
        changes = snapshots.difference(self.params(values), self.base)
        return [f"{key}={json.dumps(value)}" for key, value in changes.items()]

    def refused(self, values: Mapping[str, Any]) -> bool:
        """Does params.yaml not allow what a point's values, each allowed, come to together?"""
        try:
            params.checked(self.params(values), params.PARAMS, params.SCHEMA)
        except PipelineError:
            return True
        return False

    def points(self) -> Iterator[dict[str, Any]] | None:
        """All points, if they are finitely and not too many."""
        lists = [domain.values for domain in self.varied.values()]
        if math.prod(len(values) if values else math.inf for values in lists) > _MANY:
            return None
        combinations = itertools.product(*(values or () for values in lists))
        return (dict(zip(self.varied, values, strict=True)) for values in combinations)


def read(file: Path, base: Mapping[str, Any], pipeline: Read) -> Space:
    """The space in a file, on parameters `base` and the dvc.yaml that `pipeline` reads.

    A value is a list of choices, `{low, high}` with `log: true` or `step`, or one value, which then
    is set in all trials. Raises PipelineError, one line that names the key, its value and what is
    allowed.
    """
    held = params.held(file, file.read_bytes() if file.exists() else None)
    known = refusals.rules(params.SCHEMA)
    varied: dict[str, Choices | Range] = {}
    others: dict[str, Any] = {}
    for key, value in held.items():
        refusals.refuse_key(key, known, file.name, params.SCHEMA)
        domain = _domain(file.name, key, value, known[key])
        if isinstance(domain, Choices) and len(domain.values) == 1:
            others[key] = domain.values[0]
        else:
            varied[key] = domain
    if not varied:
        raise PipelineError(
            f"{file.name}: nothing varies; write for example "
            "`learning_rate: {low: 1e-4, high: 1e-2, log: true}` or `batch_size: [64, 128, 256]`"
        )
    training = _of_training(pipeline)
    for key in varied:
        if problem := _pointless(key, training):
            raise PipelineError(f"{file.name}: {key} {problem}")
    if not {**base, **others}.get("validation_images"):
        raise PipelineError(
            f"{file.name}: validation_images is 0; a search needs validation images, from 1"
        )
    return Space(file.stem, varied, dict(base), others)


def _domain(name: str, key: str, value: Any, rule: dict[str, Any]) -> Choices | Range:
    if isinstance(value, dict):
        return _range(name, key, value, rule)
    listing = rule.get("type") == "array"  # then one value is a list, and choices are lists in it
    several = isinstance(value, list) and (not listing or any(isinstance(v, list) for v in value))
    choices = value if several else [value]
    if not choices:
        raise PipelineError(f"{name}: {key} is []; it must hold at least one value")
    for index, choice in enumerate(choices):
        refusals.refuse_value(key, choice, rule, name)
        if any(_same(choice, other) for other in choices[:index]):
            raise PipelineError(
                f"{name}: {key} is {refusals.shown(value)}; it must hold each value once"
            )
    return Choices(tuple(choices))


def _range(name: str, key: str, value: dict[str, Any], rule: dict[str, Any]) -> Range:
    kind = rule.get("type")
    if kind not in ("integer", "number"):
        raise PipelineError(
            f"{name}: {key} is {refusals.shown(value)}; it must be a list, since it is no number"
        )
    if not {"low", "high"} <= value.keys() <= set(_RANGE):
        raise PipelineError(
            f"{name}: {key} is {refusals.shown(value)}; it must have low and high, and log or step "
            "if wanted"
        )
    low, high, log, step = value["low"], value["high"], value.get("log"), value.get("step")
    for end in (low, high):
        refusals.refuse_value(key, end, rule, name)
    wrong = ""
    if not low < high:
        wrong = "low must be below high"
    elif log is not None and not isinstance(log, bool):
        wrong = "log must be true or false"
    elif log and (low <= 0 or step is not None):
        wrong = "with log: true, low must be above 0 and there must be no step"
    elif step is not None and not _divides(step, high - low, kind):
        wrong = f"step must be a {'whole ' * (kind == 'integer')}number that divides high - low"
    if wrong:
        raise PipelineError(f"{name}: {key} is {refusals.shown(value)}; {wrong}")
    return Range(low, high, bool(log), step, kind == "integer")


def _divides(step: object, length: float, kind: str) -> bool:
    kinds = int if kind == "integer" else int | float
    if isinstance(step, bool) or not isinstance(step, kinds) or not 0 < step <= length:
        return False
    return math.isclose(length / step, round(length / step), abs_tol=1e-6)


def _pointless(key: str, training: set[str]) -> str:
    """Why a search over the key tells nothing; empty if it may."""
    if key in SEEDS:
        return "is a seed: the best of several is luck; `vae seeds` gives their mean and deviation"
    if key in OTHER_FIGURES:
        return "may have one value only: figures on other images cannot be compared"
    if key in MACHINE:
        return "may have one value only: it says how a training is computed, not what"
    if key not in training:
        return "may have one value only: the model and its validation figures do not depend on it"
    return ""


def _of_training(pipeline: Read) -> set[str]:
    """The keys of params.yaml that the validation figures depend on: of `train`, and before it."""
    stages = params.held(Path("dvc.yaml"), pipeline("dvc.yaml"))["stages"]
    makers = pipelines.producers(pipeline)
    wanted, keys = [makers[HISTORY]], set[str]()
    for stage in wanted:  # which grows
        described = stages[stage]
        keys |= set(listed(described.get("params", [])).get(params.PARAMS) or ())
        before = {makers[dep] for dep in described.get("deps", []) if dep in makers}
        wanted += sorted(before - set(wanted))
    return keys


def _same(one: object, other: object) -> bool:
    return not snapshots.difference({"": one}, {"": other})
