"""A run's tags: what they say, and which are ours to write.

What people and other clones have written stays.
"""

import getpass
import os
from collections.abc import Mapping, Sequence

from mnist_vae.experiments import origins
from mnist_vae.experiments.origins import Origin
from mnist_vae.experiments.outputs import md5
from mnist_vae.experiments.repository import Repository
from mnist_vae.experiments.snapshot import Snapshot

LONGEST = 250  # characters of a run's name that a server's database has room for
RUN_NAME, NOTE = "mlflow.runName", "mlflow.note.content"
_MARKS = {RUN_NAME: "dvc.wrote.name", NOTE: "dvc.wrote.note"}  # md5 of what we last wrote there
_OURS = ("dvc.", "mlflow.source.")  # tags that go when nothing calls for them
_EXPERIMENTS = ("dvc.exp.name", "dvc.exp.ref", "dvc.exp.baseline")
_NAMED_AFTER = (*_MARKS, *_MARKS.values(), "mlflow.user", "dvc.sweep")


def of(repository: Repository, snapshot: Snapshot, found: Sequence[Origin]) -> dict[str, str]:
    """From the run of a snapshot with these origins to everything that it shows."""
    first = origins.primary(found)
    experiments = [origin for origin in found if origin.kind == "experiment"]
    held = [origin for origin in found if origin.commit]
    held.sort(key=lambda origin: origin.kind != "commit")  # a branch outlives an experiment
    commit = held[0].commit if held else ""
    values = {
        "dvc.key": snapshot.key,
        "dvc.recipe": snapshot.recipe,
        "dvc.results": snapshot.results,
        "dvc.exp.name": ", ".join(sorted({exp.label for exp in experiments})),
        "dvc.exp.ref": ", ".join(sorted(exp.ref for exp in experiments)),
        "dvc.exp.baseline": ", ".join(sorted({exp.base for exp in experiments})),
        "dvc.sweep": ", ".join(first.changes),
        "mlflow.source.git.commit": commit or first.base,
        "mlflow.source.git.branch": next(
            (origin.branch for origin in [*held, *found] if origin.branch), ""
        ),
        "mlflow.source.git.dirty": "false" if commit else "true",
        "mlflow.source.git.repoURL": repository.url,
        "mlflow.source.name": "dvc.yaml",
        "mlflow.source.type": "PROJECT",
        "mlflow.user": _author(repository, commit),
        RUN_NAME: run_name(found),
    }
    for path, value in snapshot.outputs.items():
        if path.startswith(("data/", "models/")):
            values[f"dvc.md5.{path}"] = value
    return {name: value[:5000] for name, value in values.items() if value}


def run_name(found: Sequence[Origin]) -> str:
    """What differs from the base, and where the snapshot stands: `latent_dim=16 · grave-sons`."""
    first = origins.primary(found)
    changes = [f"{name}={origins.shown(value)}" for name, value in first.changes.items()]
    if len(changes) > 3:
        changes = [*changes[:3], f"{len(changes) - 3} more"]
    name = " · ".join(filter(None, (", ".join(changes), first.label)))
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def marks(tags: Mapping[str, str]) -> dict[str, str]:
    """By which we can tell later whether a person has changed these texts."""
    return {mark: md5(tags[text].encode()) for text, mark in _MARKS.items() if text in tags}


def changes(
    there: Mapping[str, str], wanted: Mapping[str, str], shared: bool
) -> tuple[dict[str, str], list[str]]:
    """What to set and what to delete, so that a run with the tags `there` shows the `wanted` ones.

    shared: other clones use the store as well. Experiments that only they know keep their names,
    and the run its name after them.
    """
    values = {name: value for name, value in wanted.items() if value} | marks(wanted)
    kept = _written_by_people(there)
    if shared:
        if _listed(there, "dvc.exp.name") - _listed(wanted, "dvc.exp.name"):
            kept += _NAMED_AFTER
        for name in _EXPERIMENTS:
            both = _listed(there, name) | _listed(wanted, name)
            values |= {name: ", ".join(sorted(both))} if both else {}
    for name in kept:
        values.pop(name, None)
    new = {name: value for name, value in values.items() if there.get(name) != value}
    gone = there.keys() - values.keys() - set(kept)
    return new, sorted(name for name in gone if name.startswith(_OURS))


def of_others(there: Mapping[str, str]) -> dict[str, str]:
    """What is not ours, for a run that is made anew: people's texts and tags, the env.*."""
    free = [name for name in there if not name.startswith(("dvc.", "mlflow."))]
    return {name: there[name] for name in [*_written_by_people(there), *free] if name in there}


def _written_by_people(there: Mapping[str, str]) -> list[str]:
    """The texts that are not as we left them, and their marks."""
    return [
        name
        for text, mark in _MARKS.items()
        if mark in there and md5(there.get(text, "").encode()) != there[mark]
        for name in (text, mark)
    ]


def _author(repository: Repository, commit: str) -> str:
    if commit:
        made = repository.made(commit)
        return made.author if made else ""
    try:
        return repository.git("config", "user.name") or getpass.getuser()
    except (KeyError, OSError):  # a container's user id without a name
        return f"uid {os.getuid()}"


def _listed(tags: Mapping[str, str], name: str) -> set[str]:
    return set(filter(None, tags.get(name, "").split(", ")))
