"""Where a snapshot stands: in DVC experiments, in commits, in the workspace."""

import json
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from mnist_vae.errors import PipelineError
from mnist_vae.experiments import index
from mnist_vae.experiments import snapshot as snapshots
from mnist_vae.experiments.repository import Experiment, Repository
from mnist_vae.experiments.snapshot import Snapshot


@dataclass(frozen=True)
class Origin:
    """One place where a snapshot stands.

    commit: the commit that holds it, empty if none does yet; base: the commit that it is compared
    with (an experiment's baseline, a commit's parent, the workspace's HEAD); changes: the
    parameters that differ from the base; repeat: the command that makes it again.
    """

    kind: Literal["experiment", "commit", "workspace"]
    label: str
    branch: str
    commit: str
    base: str
    changes: Mapping[str, Any]
    repeat: str
    ref: str = ""


def discover(repository: Repository) -> Iterator[tuple[str, Snapshot]]:
    """Every commit that can hold results, and its snapshot; what cannot be read is left out."""
    yield from index.read(repository, _commits(repository))


def with_results(repository: Repository, name: str) -> tuple[str, Snapshot]:
    """The commit of an experiment or a revision, and what it holds.

    Raises PipelineError if there is no such thing, or it has no results.
    """
    commit = repository.named(name)
    found = snapshots.for_run(snapshots.load(lambda path: repository.read(commit, path)))
    if found.problem:
        raise PipelineError(f"{name} has no results: {found.problem}")
    return commit, found


def of(
    repository: Repository, snapshot: Snapshot, commits: Sequence[str], current: bool
) -> list[Origin]:
    """The origins of a snapshot that stands in `commits` and, if `current`, in the workspace."""
    at, places = _places(repository)
    experiments = sorted(exp for commit in set(commits) for exp in at.get(commit, []))
    found = [_experiment(repository, snapshot, exp) for exp in experiments]
    plain = sorted(places.keys() & set(commits), key=places.__getitem__)
    if current and not plain and (head := repository.commit("HEAD")):
        inputs = _inputs_at(repository, head)
        if inputs and inputs.key == snapshot.key and "DVC_EXP_NAME" not in os.environ:
            plain = [head]  # the commit holds all but the results
    if plain:
        found.append(_commit(repository, snapshot, plain))
    if current and (name := os.environ.get("DVC_EXP_NAME")):
        if name not in {origin.label for origin in found}:
            baseline = os.environ.get("DVC_EXP_BASELINE_REV", "")
            found.append(_experiment(repository, snapshot, Experiment(baseline, name, "")))
    elif current and not found:
        found.append(_workspace(repository, snapshot))
    return found


@lru_cache(maxsize=1)
def _places(repository: Repository) -> tuple[dict[str, list[Experiment]], dict[str, int]]:
    """The experiments at each commit, and each commit's place in the history."""
    at: dict[str, list[Experiment]] = {}
    for exp in repository.experiments:
        at.setdefault(exp.commit, []).append(exp)
    return at, {commit: place for place, commit in enumerate(repository.commits)}


def holding(repository: Repository, snapshot: Snapshot) -> list[str]:
    """The commits that hold exactly this snapshot and these results."""
    return index.holding(repository, _commits(repository), snapshot)


def _commits(repository: Repository) -> list[str]:
    """Every commit that can hold results, the newest of branches first, then experiments."""
    experiments = [exp.commit for exp in repository.experiments]
    return list(dict.fromkeys(repository.commits + experiments))


def primary(origins: Sequence[Origin]) -> Origin:
    """The origin that a run is named after: what says most about the snapshot."""
    order = {"experiment": 0, "commit": 1, "workspace": 2}
    return min(origins, key=lambda origin: (not origin.changes, order[origin.kind]))


@lru_cache(maxsize=256)  # many experiments have one baseline
def _inputs_at(repository: Repository, commit: str) -> Snapshot | None:
    try:
        return snapshots.load_inputs(lambda path: repository.read(commit, path))
    except PipelineError:
        return None


def _since(
    repository: Repository, snapshot: Snapshot, commit: str
) -> tuple[Mapping[str, Any], bool]:
    """The parameters that differ from a commit's, and whether code and images are the same."""
    base = _inputs_at(repository, commit) if commit else None
    if base is None:
        return {}, False
    same = base.code == snapshot.code and base.data in ("", snapshot.data)
    return snapshots.difference(snapshot.params, base.params), same


def _experiment(repository: Repository, snapshot: Snapshot, exp: Experiment) -> Origin:
    changes, same_code = _since(repository, snapshot, exp.baseline)
    if same_code:
        repeat = f"git checkout {exp.baseline[:7]} && dvc exp run{_settings(changes)}"
    else:
        repeat = f"dvc exp apply {exp.name} && dvc repro"
    ref = f"refs/exps/{exp.baseline[:2]}/{exp.baseline[2:]}/{exp.name}"
    labels = repository.labels.get(exp.baseline, [])
    branch = labels[0] if labels else ""
    return Origin("experiment", exp.name, branch, exp.commit, exp.baseline, changes, repeat, ref)


def _commit(repository: Repository, snapshot: Snapshot, commits: Sequence[str]) -> Origin:
    oldest = commits[-1]
    labels = repository.labels
    names = sorted({name for commit in commits for name in labels.get(commit, [])})
    parent = repository.commit(f"{oldest}^")
    return Origin(
        "commit",
        " ".join([", ".join(names), oldest[:7]]).strip(),
        names[0] if names else "",
        oldest,
        parent,
        _since(repository, snapshot, parent)[0],
        f"git checkout {oldest[:7]} && dvc repro",
    )


def _workspace(repository: Repository, snapshot: Snapshot) -> Origin:
    head = repository.commit("HEAD")
    changes, same_code = _since(repository, snapshot, head)
    if same_code:
        repeat = f"git checkout {head[:7]} && dvc exp run{_settings(changes)}"
    else:
        repeat = "dvc repro   # with code that is not committed yet"
    return Origin("workspace", "workspace", repository.branch(), "", head, changes, repeat)


def _settings(changes: Mapping[str, Any]) -> str:
    return "".join(
        f" -S {shlex.quote(f'{name}={shown(value)}')}" for name, value in changes.items()
    )


def shown(value: object) -> str:
    """A parameter's value as one writes it for `-S`."""
    return value if isinstance(value, str) else json.dumps(value)
