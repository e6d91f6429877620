"""Recipes: what experiments share that differ only in their seeds, and how two of them compare."""

import json
import math
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from safetensors.numpy import load as load_arrays

from mnist_vae import history
from mnist_vae.errors import PipelineError
from mnist_vae.experiments import origins, outputs
from mnist_vae.experiments.repository import Repository
from mnist_vae.experiments.snapshot import (
    ARRAYS,
    DATA,
    EVALUATION,
    HISTORY,
    MODEL,
    TRAINED_BY,
    Snapshot,
    training,
)


@dataclass(frozen=True)
class Member:
    """One experiment of a recipe: its name, commit, and metrics but for their standard errors."""

    name: str
    commit: str
    snapshot: Snapshot
    metrics: Mapping[str, float]

    @property
    def seeds(self) -> tuple[object, ...]:
        """What its training drew from."""
        return tuple(self.snapshot.params.get(name) for name in TRAINED_BY)


@dataclass(frozen=True)
class Recipe:
    """All that this clone has of a recipe, one experiment for each training."""

    name: str
    members: tuple[Member, ...]

    def spread(self, metric: str) -> "Spread | None":
        """Mean and deviation over the members that have the metric."""
        values = [one.metrics[metric] for one in self.members if metric in one.metrics]
        return Spread.of(values) if values else None


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation of n values; None with a single one."""

    mean: float
    deviation: float | None
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        deviation = statistics.stdev(values) if len(values) > 1 else None
        return cls(statistics.fmean(values), deviation, len(values))

    def __str__(self) -> str:
        deviation = "" if self.deviation is None else f" ± {self.deviation:.4g}"
        return f"{self.mean:.6g}{deviation} (n = {self.n})"


@dataclass(frozen=True)
class Paired:
    """The ELBO of one recipe less that of another, image by image; nats per image, of N images.

    per_image (N,): the mean over the pairs of seeds. by_images: standard error of the mean for
    these seeds and other images; by_seeds: for these images and other seeds, None if unknown.
    pairs: seeds that both have; 0: there are none, and all seeds of each were taken.
    """

    per_image: np.ndarray
    labels: np.ndarray | None  # (N,)
    by_images: float
    by_seeds: float | None
    pairs: int

    @property
    def difference(self) -> float:
        return float(self.per_image.mean())

    @property
    def error(self) -> float:
        """Standard error over images and seeds: both variances, as of crossed random effects."""
        return float(np.hypot(self.by_images, self.by_seeds or 0.0))


def find(repository: Repository, name: str) -> Recipe:
    """The recipe of an experiment or a revision; PipelineError as `find_each`."""
    return find_each(repository, [name])[0]


def find_each(repository: Repository, names: Sequence[str]) -> list[Recipe]:
    """The recipes of experiments, revisions or tags `dvc.recipe`, of which 7 characters will do.

    All that this clone has is read once. Raises PipelineError if there is no such thing, or it
    has no results.
    """
    held = list(origins.discover(repository))
    wanted = [(name, *_named(repository, name, held)) for name in names]
    labels = {exp.commit: exp.name for exp in repository.experiments}
    return [_recipe(repository, name, [(at, like), *held], labels) for name, at, like in wanted]


def _named(
    repository: Repository, name: str, held: Sequence[tuple[str, Snapshot]]
) -> tuple[str, Snapshot]:
    """A commit and what it holds, by the name of it or of its recipe."""
    if re.fullmatch("[0-9a-f]{7,64}", name) and not repository.resolve(name):
        of = [one for one in held if one[1].recipe.startswith(name) and not one[1].problem]
        if len({snapshot.recipe for _, snapshot in of}) == 1:
            return of[0]
    return origins.with_results(repository, name)


def _recipe(
    repository: Repository,
    name: str,
    held: Sequence[tuple[str, Snapshot]],
    labels: Mapping[str, str],
) -> Recipe:
    """All that is of the first one's recipe and was measured on its test set."""
    first = held[0][1]
    found: list[Member] = []
    seen: set[object] = set()
    for at, snapshot in held:
        tested = snapshot.outputs.get(DATA["test"]) == first.outputs.get(DATA["test"])
        trained = training(snapshot.params, snapshot.outputs.get(MODEL))
        if snapshot.recipe != first.recipe or snapshot.problem or not tested or seen & trained:
            continue
        try:
            metrics = _metrics(repository, at, snapshot)
        except PipelineError:
            if not found:  # the one that was named
                raise
            continue
        seen |= trained
        found.append(Member(labels.get(at, at[:7]), at, snapshot, metrics))
    return Recipe(name, tuple(sorted(found, key=lambda member: str(member.seeds))))


def check_comparable(recipes: Sequence[Recipe]) -> None:
    """Raise PipelineError if the recipes were not measured on the same images."""
    first = recipes[0].members[0].snapshot
    for recipe in recipes[1:]:
        other = recipe.members[0].snapshot  # its members share both
        if other.protocol != first.protocol:
            raise PipelineError(
                f"{recipe.name} is {other.protocol} and {recipes[0].name} is {first.protocol}: "
                "figures of two protocols cannot be compared"
            )
        if other.outputs[DATA["test"]] != first.outputs[DATA["test"]]:
            raise PipelineError(f"{recipe.name} and {recipes[0].name} have different test sets")


def paired(repository: Repository, one: Recipe, other: Recipe) -> Paired:
    """`one` less `other`: over the seeds that both have, or else over all seeds of each.

    Raises PipelineError if they cannot be compared, or if the ELBOs of single images are not in
    the DVC cache.
    """
    check_comparable([one, other])
    theirs = {member.seeds: member for member in other.members}
    pairs = [(mine, theirs[mine.seeds]) for mine in one.members if mine.seeds in theirs]
    first = _arrays(repository, one.members[0])

    def elbo(member: Member) -> np.ndarray:
        arrays = first if member is one.members[0] else _arrays(repository, member)
        return arrays["elbo_per_image"].astype(np.float64)

    if pairs:
        apart = np.stack([elbo(a) - elbo(b) for a, b in pairs])
        by_seeds = _error(apart.mean(1))
    else:
        means = [np.stack([elbo(member) for member in recipe.members]) for recipe in (one, other)]
        apart = (means[0].mean(0) - means[1].mean(0))[None]
        errors = [_error(values.mean(1)) for values in means]
        known = [error for error in errors if error is not None]
        by_seeds = math.hypot(*known) if len(known) == 2 else None
    per_image = apart.mean(0)
    by_images = _error(per_image) or 0.0
    return Paired(per_image, first.get("labels"), by_images, by_seeds, len(pairs))


def _error(values: np.ndarray) -> float | None:
    """Standard error of the mean; None of a single value."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None


def _arrays(repository: Repository, member: Member) -> dict[str, np.ndarray]:
    md5 = member.snapshot.outputs.get(ARRAYS, "")
    found = outputs.held(repository.folder, md5, ARRAYS, member.name)
    return load_arrays(found.read_bytes())


def _metrics(repository: Repository, commit: str, snapshot: Snapshot) -> dict[str, float]:
    """The metrics at a commit by name, and the last validation ELBO of the history."""
    known = outputs.in_git(repository, commit, snapshot, EVALUATION)
    held = json.loads(known).get(snapshot.protocol, {})
    found = {
        name: float(value)
        for name, value in held.items()
        if isinstance(value, int | float) and not name.endswith("_se")
    }
    rows = history.parse(outputs.in_git(repository, commit, snapshot, HISTORY).decode())
    if rows and "validation_elbo" in rows[-1]:
        found["validation_elbo"] = rows[-1]["validation_elbo"]
    return found
