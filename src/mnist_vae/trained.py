"""A trained model's weights and test set: the workspace's, an experiment's, or the champion's."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist_vae.experiments import origins, outputs
from mnist_vae.experiments import snapshot as snapshots
from mnist_vae.experiments.repository import Repository
from mnist_vae.experiments.snapshot import DATA, MODEL

CHAMPION = "champion"


@dataclass(frozen=True)
class Trained:
    """One trained model. md5: output -> hash in DVC's cache; of the workspace none."""

    name: str
    folder: Path
    dataset: str
    likelihood: str
    md5: Mapping[str, str]

    def file(self, path: str) -> Path:
        """Where one of its outputs lies.

        Raises PipelineError if DVC's cache has lost it. In the workspace it may be missing.
        """
        if not self.md5:
            return self.folder / path
        return outputs.held(self.folder, self.md5.get(path, ""), path, self.name)

    @property
    def weights(self) -> Path:
        return self.file(MODEL)

    @property
    def test_set(self) -> Path:
        return self.file(DATA["test"])


def find(folder: Path, name: str | None, params: Mapping[str, Any]) -> Trained:
    """The model of an experiment or a revision, the champion, or without a name the workspace's.

    params: the workspace's, for whose data set and protocol there is a champion. Raises
    PipelineError, one line, if there is no such thing, or it has no results.
    """
    if name is None:
        here = snapshots.load(snapshots.workspace(folder))
        if here.problem and (folder / MODEL).exists():
            print(f"note: `dvc repro` would make another model: {here.problem}", file=sys.stderr)
        return Trained("the workspace", folder, params["dataset"], params["likelihood"], {})
    if name == CHAMPION:
        return _champion(folder, params)
    with Repository(folder) as repository:
        _, held = origins.with_results(repository, name)
    return Trained(name, folder, held.params["dataset"], held.protocol, held.outputs)


def _champion(folder: Path, params: Mapping[str, Any]) -> Trained:
    from mnist_vae.tracking import champion  # MLflow takes seconds

    run = champion.current(folder, params["dataset"], params["likelihood"])
    prefix = "dvc.md5."
    tags = run.data.tags.items()
    md5 = {name.removeprefix(prefix): value for name, value in tags if name.startswith(prefix)}
    shown = f"the champion, run {run.info.run_name},"
    given = run.data.params
    return Trained(shown, folder, given["dataset"], given["likelihood"], md5)
