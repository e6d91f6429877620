"""Which of a run's tags are ours to write: what people and other clones have written stays."""

import hashlib
from collections.abc import Mapping

RUN_NAME, NOTE = "mlflow.runName", "mlflow.note.content"
_MARKS = {RUN_NAME: "dvc.wrote.name", NOTE: "dvc.wrote.note"}  # md5 of what we last wrote there
_OURS = ("dvc.", "mlflow.source.")  # tags that go when nothing calls for them
_EXPERIMENTS = ("dvc.exp.name", "dvc.exp.ref", "dvc.exp.baseline")
_NAMED_AFTER = (*_MARKS, *_MARKS.values(), "mlflow.user", "dvc.sweep")


def marks(tags: Mapping[str, str]) -> dict[str, str]:
    """By which we can tell later whether a person has changed these texts."""
    return {mark: _md5(tags[text]) for text, mark in _MARKS.items() if text in tags}


def changes(
    there: Mapping[str, str], wanted: Mapping[str, str], shared: bool
) -> tuple[dict[str, str], list[str]]:
    """What to set and what to delete, so that a run with the tags `there` shows the `wanted` ones.

    shared: other clones use the store as well. Experiments that only they know keep their names,
    and the run its name after them.
    """
    values = {name: value for name, value in wanted.items() if value} | marks(wanted)
    kept = [
        name
        for text, mark in _MARKS.items()
        if mark in there and _md5(there.get(text, "")) != there[mark]
        for name in (text, mark)
    ]
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


def _listed(tags: Mapping[str, str], name: str) -> set[str]:
    return set(filter(None, tags.get(name, "").split(", ")))


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
