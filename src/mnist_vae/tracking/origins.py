"""Where a content stands: DVC experiments, commits, the workspace; and how its run is named."""

import getpass
import json
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mnist_vae.errors import PipelineError
from mnist_vae.tracking import content as contents
from mnist_vae.tracking.content import Content
from mnist_vae.tracking.repository import Experiment, Repository


@dataclass(frozen=True)
class Origin:
    """One place where a content stands.

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


def discover(repository: Repository) -> Iterator[tuple[str, Content]]:
    """Every commit that can hold results, and its content; what cannot be read is left out."""
    commits = repository.commits() + [exp.commit for exp in repository.experiments()]
    for commit in dict.fromkeys(commits):
        if (found := _at(repository, commit)) is not None:
            yield commit, found


def of(
    repository: Repository, content: Content, commits: Sequence[str], current: bool
) -> list[Origin]:
    """The origins of a content that stands in `commits` and, if `current`, in the workspace."""
    held = set(commits)
    experiments = repository.experiments()
    found = [_experiment(repository, content, exp) for exp in experiments if exp.commit in held]
    plain = [commit for commit in repository.commits() if commit in held]
    if current and not plain and (head := repository.commit("HEAD")):
        inputs = _inputs_at(repository, head)
        if inputs and inputs.key == content.key and "DVC_EXP_NAME" not in os.environ:
            plain = [head]  # the commit holds all but the results
    if plain:
        found.append(_commit(repository, content, plain))
    if current and (name := os.environ.get("DVC_EXP_NAME")):
        if name not in {origin.label for origin in found}:
            baseline = os.environ.get("DVC_EXP_BASELINE_REV", "")
            found.append(_experiment(repository, content, Experiment(name, "", baseline)))
    elif current and not found:
        found.append(_workspace(repository, content))
    return found


def holding(repository: Repository, content: Content) -> list[str]:
    """The commits that hold exactly this content and these results."""
    commits = repository.commits() + [exp.commit for exp in repository.experiments()]
    held = []
    for commit in dict.fromkeys(commits):
        inputs = _inputs_at(repository, commit)
        if inputs and inputs.key == content.key:  # reading dvc.lock is the slow part
            found = _at(repository, commit)
            if found and found.results == content.results:
                held.append(commit)
    return held


def primary(origins: Sequence[Origin]) -> Origin:
    """The origin that a run is named after: what says most about the content."""
    order = {"experiment": 0, "commit": 1, "workspace": 2}
    return min(origins, key=lambda origin: (not origin.changes, order[origin.kind]))


def run_name(origins: Sequence[Origin]) -> str:
    """What differs from the base, and where the content stands: `latent_dim=16 · grave-sons`."""
    origin = primary(origins)
    changes = [f"{name}={_show(value)}" for name, value in origin.changes.items()]
    if len(changes) > 3:
        changes = [*changes[:3], f"{len(changes) - 3} more"]
    return " · ".join(filter(None, (", ".join(changes), origin.label)))


def tags(repository: Repository, content: Content, origins: Sequence[Origin]) -> dict[str, str]:
    """From the run to everything that it shows."""
    origin = primary(origins)
    experiments = [origin for origin in origins if origin.kind == "experiment"]
    held = [origin for origin in origins if origin.commit]
    held.sort(key=lambda origin: origin.kind != "commit")  # a branch outlives an experiment
    commit = held[0].commit if held else ""
    values = {
        "dvc.key": content.key,
        "dvc.results": content.results,
        "dvc.exp.name": ", ".join(sorted({exp.label for exp in experiments})),
        "dvc.exp.ref": ", ".join(sorted(exp.ref for exp in experiments)),
        "dvc.exp.baseline": ", ".join(sorted({exp.base for exp in experiments})),
        "dvc.sweep": ", ".join(origin.changes),
        "mlflow.source.git.commit": commit or origin.base,
        "mlflow.source.git.branch": next(
            (origin.branch for origin in [*held, *origins] if origin.branch), ""
        ),
        "mlflow.source.git.dirty": "false" if commit else "true",
        "mlflow.source.git.repoURL": repository.url(),
        "mlflow.source.name": "dvc.yaml",
        "mlflow.source.type": "PROJECT",
        "mlflow.user": _author(repository, commit),
        "mlflow.runName": run_name(origins),
    }
    for path, md5 in content.outputs.items():
        if path.startswith(("data/", "models/")):
            values[f"dvc.md5.{path}"] = md5
    return {name: value[:5000] for name, value in values.items() if value}


def _at(repository: Repository, commit: str) -> Content | None:
    try:
        return contents.for_run(contents.load(lambda path: repository.read(commit, path)))
    except PipelineError:
        return None


def _inputs_at(repository: Repository, commit: str) -> Content | None:
    try:
        return contents.load_inputs(lambda path: repository.read(commit, path))
    except PipelineError:
        return None


def _experiment(repository: Repository, content: Content, exp: Experiment) -> Origin:
    base = _inputs_at(repository, exp.baseline)
    changes = contents.difference(content.params, base.params) if base else {}
    if base and base.code == content.code:
        repeat = f"git checkout {exp.baseline[:7]} && dvc exp run{_settings(changes)}"
    else:
        repeat = f"dvc exp apply {exp.name} && dvc repro"
    ref = f"refs/exps/{exp.baseline[:2]}/{exp.baseline[2:]}/{exp.name}"
    labels = repository.labels().get(exp.baseline, [])
    branch = labels[0] if labels else ""
    return Origin("experiment", exp.name, branch, exp.commit, exp.baseline, changes, repeat, ref)


def _commit(repository: Repository, content: Content, commits: Sequence[str]) -> Origin:
    oldest = commits[-1]
    labels = repository.labels()
    names = sorted({name for commit in commits for name in labels.get(commit, [])})
    parent = repository.commit(f"{oldest}^")
    base = _inputs_at(repository, parent) if parent else None
    return Origin(
        "commit",
        " ".join([", ".join(names), oldest[:7]]).strip(),
        names[0] if names else "",
        oldest,
        parent,
        contents.difference(content.params, base.params) if base else {},
        f"git checkout {oldest[:7]} && dvc repro",
    )


def _workspace(repository: Repository, content: Content) -> Origin:
    head = repository.commit("HEAD")
    base = _inputs_at(repository, head) if head else None
    changes = contents.difference(content.params, base.params) if base else {}
    if base and base.code == content.code:
        repeat = f"git checkout {head[:7]} && dvc exp run{_settings(changes)}"
    else:
        repeat = "dvc repro   # with code that is not committed yet"
    return Origin("workspace", "workspace", repository.branch(), "", head, changes, repeat)


def _settings(changes: Mapping[str, Any]) -> str:
    return "".join(
        f" -S {shlex.quote(f'{name}={_show(value)}')}" for name, value in changes.items()
    )


def _show(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _author(repository: Repository, commit: str) -> str:
    if commit:
        return repository.git("show", "-s", "--format=%an", commit)
    try:
        return repository.git("config", "user.name") or getpass.getuser()
    except (KeyError, OSError):  # a container's user id without a name
        return f"uid {os.getuid()}"
