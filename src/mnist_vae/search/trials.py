"""What Git holds of a space: experiments with results, and trials that were pruned or failed.

A stopped `dvc exp run` leaves no experiment, so those two have a ref of their own to a small JSON
file, under refs/trials and the commit as experiments are under refs/exps: Git keeps and pushes it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from mnist_vae import history, programs
from mnist_vae.errors import PipelineError
from mnist_vae.experiments import index
from mnist_vae.experiments import snapshot as snapshots
from mnist_vae.experiments.repository import Repository
from mnist_vae.experiments.snapshot import HISTORY
from mnist_vae.search.space import Space

State = Literal["done", "pruned", "failed"]
METRICS: dict[str, Literal["maximize", "minimize"]] = {
    "validation_elbo": "maximize",
    "validation_distortion": "minimize",
}


@dataclass(frozen=True)
class Trial:
    """A point of the space and what came of it.

    experiment: its name, or the commit's where that is the point. curve: the metric after each
    epoch, nats per image; empty if it failed. detail: why it failed.
    """

    experiment: str
    state: State
    values: Mapping[str, Any]
    curve: Mapping[int, float]
    detail: str = ""

    @property
    def value(self) -> float:
        """The metric of the trained model; of a pruned trial, when it was stopped."""
        return self.curve[max(self.curve)]


def metric_of(name: str | None, protocol: str) -> str:
    """The column of the history that a metric such as greyscale/validation_elbo names.

    None: the validation ELBO. Raises PipelineError for all that is no validation figure of the
    protocol.
    """
    given, _, column = (name or f"{protocol}/validation_elbo").partition("/")
    known = " or ".join(f"{protocol}/{each}" for each in METRICS)
    if not column.startswith("validation_"):
        raise PipelineError(
            f"metric {name} is no validation figure: chosen by the test set, its figure would no "
            f"longer be an estimate; a search takes {known}"
        )
    if column not in METRICS or given != protocol:
        raise PipelineError(f"metric {name} is not one of this space; a search takes {known}")
    return column


def read(repository: Repository, head: str, space: Space, metric: str) -> list[Trial]:
    """All trials of the space on a commit, each point once, by the name of its experiment.

    Of the commit's own code and images only. The commit is a trial itself, if it has results. A
    result counts before what was noted of a trial that ended early.
    """
    found = {trial.experiment: trial for trial in _noted(repository, head, space, metric)}
    names = {exp.commit: exp.name for exp in repository.experiments if exp.baseline == head}
    ours = snapshots.load_inputs(lambda path: repository.read(head, path))
    for commit, snapshot in index.read(repository, [*names, head]):
        values = space.of(snapshot.params)
        others = ours.data and snapshot.data != ours.data  # images of a user, as they were once
        if values is None or snapshot.problem or snapshot.code != ours.code or others:
            continue
        rows = history.parse((repository.read(commit, HISTORY) or b"").decode())
        curve = {int(row["epoch"]): row[metric] for row in rows if metric in row}
        if curve:
            name = names.get(commit, head[:7])
            found[space.experiment(values)] = Trial(name, "done", values, curve)
    return [found[name] for name in sorted(found)]


def note(repository: Repository, head: str, space: Space, metric: str, trial: Trial) -> None:
    """Remember a trial that leaves no experiment."""
    held = {
        "state": trial.state,
        "params": snapshots.difference(space.params(trial.values), space.base),
        "metric": metric,
        "curve": dict(trial.curve),
        "detail": trial.detail,
    }
    with TemporaryDirectory() as folder:
        file = Path(folder) / "trial.json"
        file.write_text(json.dumps(held, indent=2) + "\n", encoding="utf-8")
        write = ["git", "hash-object", "-w", "--no-filters", str(file)]
        blob = programs.run(write, repository.folder).strip()
    ref = f"{_refs(head)}{trial.experiment}"
    programs.run(["git", "update-ref", ref, blob], repository.folder)


def _refs(head: str) -> str:
    return f"refs/trials/{head[:2]}/{head[2:]}/"


def _noted(repository: Repository, head: str, space: Space, metric: str) -> Sequence[Trial]:
    """Those that ended early, of this metric if their curve matters."""
    listed = ["git", "for-each-ref", "--format=%(refname)", _refs(head)]
    found = []
    for ref in programs.run(listed, repository.folder).splitlines():
        content = programs.run(["git", "cat-file", "blob", ref], repository.folder)
        try:
            held = json.loads(content)
            values = space.of({**space.base, **held["params"]})
            same = held["metric"] == metric or held["state"] == "failed"
            curve = {int(epoch): float(value) for epoch, value in held["curve"].items()}
            name, state, detail = space.experiment(values or {}), held["state"], held["detail"]
        except (PipelineError, ValueError, KeyError, TypeError, AttributeError):
            raise PipelineError(
                f"{ref} is no trial of a search; `git update-ref -d {ref}` removes it"
            ) from None
        if values is not None and same and state in ("pruned", "failed"):
            found.append(Trial(name, state, values, curve, detail))
    return found
