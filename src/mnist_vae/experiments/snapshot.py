"""What an experiment consists of, as far as its results can depend on it, and what came out.

A snapshot is read from the workspace or from any commit, and is the same for both. Its `key` is
known when training starts; its `results` are known when the pipeline has run. One pair of them
is one MLflow run, under however many names the experiment stands in Git.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from mnist_vae.errors import PipelineError
from mnist_vae.experiments import pipeline
from mnist_vae.experiments.pipeline import Read
from mnist_vae.experiments.yaml12 import parse
from mnist_vae.params import PARAMS

DATA = {split: f"data/processed/{split}.safetensors" for split in ("train", "validation", "test")}
MODEL = "models/vae.safetensors"
HISTORY = "metrics/history.csv"
EVALUATION = "metrics/evaluation.json"
ARRAYS = "results/evaluation.safetensors"
SHOWN = (*DATA.values(), MODEL, HISTORY, EVALUATION)  # what every run shows of the outputs ...
SEEDS = ("seed", "split_seed", "binarization_seed", "evaluation_seed", "picture_seed")
TRAINED_BY = SEEDS[:2]  # the rest only draws pictures, or estimates again
PROTOCOLS = ("greyscale", "binarized", "continuous_bernoulli")  # figures of two are not compared
NAMED = ("dataset", "likelihood", "epochs", "device", "threads")  # ... and of the parameters


@dataclass(frozen=True)
class Snapshot:
    """An experiment's parameters, hashes of what determines it, and its outputs' md5.

    code: hash of the files and versions of packages that stages depend on; key: of code and
    parameters, and of `data`: the md5 of a user's own folder of images as dvc.lock has it, since it
    need not be in Git; empty for other data sets.
    outputs: path -> md5 as in dvc.lock; empty if dvc.lock is missing or belongs to something else,
    and then `problem` says what is wrong.
    """

    params: dict[str, Any]
    code: str
    key: str
    outputs: dict[str, str]
    problem: str
    data: str = ""

    @property
    def dataset(self) -> str:
        """What people call the images: the data set's name, or the folder's."""
        if self.data:
            return PurePosixPath(self.params["data_folder"]).name
        return str(self.params["dataset"])

    @property
    def results(self) -> str:
        """A hash of all outputs; empty if there are none."""
        return _digest(self.outputs) if self.outputs else ""

    @property
    def recipe(self) -> str:
        """As `key`, but of any seeds."""
        return _key({k: v for k, v in self.params.items() if k not in SEEDS}, self.code, self.data)

    @property
    def protocol(self) -> str:
        """What the metrics are measured on: those of two protocols are never compared."""
        return str(self.params.get("likelihood"))


def training(params: Mapping[str, Any], model: str | None) -> frozenset[object]:
    """What tells trainings of one recipe apart: two that share any of it are the same.

    model: the weights' md5, which may be the same under several seeds.
    """
    return frozenset({tuple(params.get(name) for name in TRAINED_BY), model})


def workspace(folder: Path) -> Read:
    """Read files of a folder."""

    def read(path: str) -> bytes | None:
        try:
            return (folder / path).read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None

    return read


@contextmanager
def _like_ours() -> Iterator[None]:
    """Turn what comes of files of another layout into a PipelineError."""
    try:
        yield
    except (AttributeError, KeyError, TypeError) as error:
        raise PipelineError(
            "params.yaml, dvc.yaml or dvc.lock holds what does not belong there "
            f"({type(error).__name__}: {error})"
        ) from None


@_like_ours()
def load(read: Read) -> Snapshot:
    """The snapshot that `read` gives access to.

    Raises PipelineError if params.yaml or dvc.yaml is missing, cannot be read or has another
    layout.
    """
    snapshot, stages, code = _inputs(read)
    if (locked := read("dvc.lock")) is None:
        return replace(snapshot, problem="there is no dvc.lock: the pipeline has not run")
    try:
        lock = parse(locked, "dvc.lock").get("stages", {})
    except PipelineError as error:
        return replace(snapshot, problem=str(error))
    if problem := pipeline.outdated(stages, lock, code, snapshot.params):
        return replace(snapshot, problem=problem)
    return replace(snapshot, outputs=pipeline.outputs_of({name: lock[name] for name in stages}))


def for_run(snapshot: Snapshot) -> Snapshot:
    """The snapshot; with a `problem` if it lacks what a run shows, as another layout may."""
    lacking = [path for path in SHOWN if path not in snapshot.outputs]
    lacking += [name for name in NAMED if name not in snapshot.params]
    if snapshot.problem or not lacking:
        return snapshot
    return replace(snapshot, problem=f"its pipeline has no {lacking[0]}", outputs={})


@_like_ours()
def load_inputs(read: Read) -> Snapshot:
    """As `load`, without a look at dvc.lock: all that is known when training starts."""
    return _inputs(read)[0]


def difference(params: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that `base` lacks or has otherwise, sorted by name."""
    return {
        name: params[name]
        for name in sorted(params)
        if name not in base or pipeline.plain(params[name]) != pipeline.plain(base[name])
    }


def _inputs(read: Read) -> tuple[Snapshot, dict[str, Any], dict[str, str]]:
    """A snapshot without results, its stages, and the md5 of the files that they depend on."""
    params, stages = pipeline.read_yaml(read, str(PARAMS)), pipeline.stages_of(read)
    files = pipeline.sources(read, stages)
    code, data = _digest(files), pipeline.own_data(read, params, stages)
    return Snapshot(params, code, _key(params, code, data), {}, "", data), stages, files


def _key(params: Mapping[str, Any], code: str, data: str) -> str:
    return _digest([params, code, data] if data else [params, code])


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(pipeline.plain(value), sort_keys=True).encode()).hexdigest()
