"""What an experiment consists of, as far as its results can depend on it, and what came out.

A snapshot is read from the workspace or from any commit, and is the same for both. Its `key` is
known when training starts; its `results` are known when the pipeline has run. One pair of them
is one MLflow run, under however many names the experiment stands in Git.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from mnist_vae.errors import PipelineError
from mnist_vae.experiments.outputs import md5
from mnist_vae.experiments.yaml12 import parse
from mnist_vae.inputs import filled, listed
from mnist_vae.params import PARAMS

Read = Callable[[str], bytes | None]
TRACK = "track"  # the stage that only looks: its code cannot change a result
_OUTPUTS = ("outs", "metrics", "plots")
DATA = {split: f"data/processed/{split}.safetensors" for split in ("train", "validation", "test")}
MODEL = "models/vae.safetensors"
HISTORY = "metrics/history.csv"
EVALUATION = "metrics/evaluation.json"
ARRAYS = "results/evaluation.safetensors"
SHOWN = (*DATA.values(), MODEL, HISTORY, EVALUATION)  # what every run shows of the outputs ...
SEEDS = ("seed", "split_seed", "binarization_seed", "evaluation_seed", "picture_seed")
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
    if problem := _outdated(stages, lock, code, snapshot.params):
        return replace(snapshot, problem=problem)
    return replace(snapshot, outputs=_outputs({name: lock[name] for name in stages}))


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


def producers(read: Read) -> dict[str, str]:
    """Output -> the stage that makes it, in dvc.yaml's order."""
    stages = _stages(read).items()
    return {path: name for name, stage in stages for path in _paths(stage, *_OUTPUTS)}


def difference(params: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that `base` lacks or has otherwise, sorted by name."""
    return {
        name: params[name]
        for name in sorted(params)
        if name not in base or _plain(params[name]) != _plain(base[name])
    }


def _inputs(read: Read) -> tuple[Snapshot, dict[str, Any], dict[str, str]]:
    """A snapshot without results, its stages, and the md5 of the files that they depend on."""
    params, stages = _yaml(read, str(PARAMS)), _stages(read)
    files = _code(read, stages)
    code, data = _digest(files), _own_data(read, params, stages)
    return Snapshot(params, code, _key(params, code, data), {}, "", data), stages, files


def _key(params: Mapping[str, Any], code: str, data: str) -> str:
    return _digest([params, code, data] if data else [params, code])


def _own_data(read: Read, params: Mapping[str, Any], stages: Mapping[str, Any]) -> str:
    """The md5 of the folder of images that a stage has read according to dvc.lock, if one has."""
    if params.get("dataset") != "folder" or (locked := read("dvc.lock")) is None:
        return ""
    try:
        lock = parse(locked, "dvc.lock").get("stages", {})
    except PipelineError:
        return ""
    return "".join(
        dep.get("md5", "")
        for name, stage in stages.items()
        for dep in lock.get(name, {}).get("deps", [])
        if dep["path"] in _own_paths(stage, params)
    )


def _own_paths(stage: Mapping[str, Any], params: Mapping[str, Any]) -> list[str]:
    """A stage's dependencies that parameters name, as dvc.lock writes them."""
    return [filled(path, params) for path in _paths(stage, "deps") if "${" in path]


def _outdated(
    stages: Mapping[str, Any], lock: Mapping[str, Any], code: Mapping[str, str], params: Any
) -> str:
    """Why dvc.lock does not describe these stages, code and parameters; empty if it does."""
    outputs = _outputs(lock)
    for name, stage in stages.items():
        entry = lock.get(name)
        if entry is None:
            return f"dvc.lock has no stage {name}: the pipeline has not run to its end"
        if entry.get("cmd") != stage.get("cmd"):
            return f"dvc.lock holds another command of stage {name}"
        seen = {dep["path"]: dep.get("md5", "") for dep in entry.get("deps", [])}
        for path in _own_paths(stage, params):
            if path not in seen:
                return f"dvc.lock was made from another folder than {path} (stage {name})"
        for path in _paths(stage, "deps"):
            if "${" not in path and seen.get(path) != (code.get(path) or outputs.get(path)):
                return f"dvc.lock is older than {path} (stage {name})"
        for file, keys in listed(stage.get("params", [])).items():
            values = entry.get("params", {}).get(str(file), {})
            for key in keys or []:
                wanted = params.get(key) if file == PARAMS else code.get(f"{file}:{key}")
                if key not in values or _plain(values[key]) != _plain(wanted):
                    return f"dvc.lock holds another {key} (stage {name})"
    return ""


def _stages(read: Read) -> dict[str, Any]:
    stages = _yaml(read, "dvc.yaml").get("stages", {})
    return {name: stage for name, stage in stages.items() if name != TRACK}


def _code(read: Read, stages: Mapping[str, Any]) -> dict[str, str]:
    """The md5 of all files that stages depend on and no stage makes, and packages' versions."""
    made = {path for stage in stages.values() for path in _paths(stage, *_OUTPUTS)}
    sources = {dep for stage in stages.values() for dep in _paths(stage, "deps")} - made
    sources = {path for path in sources if "${" not in path}  # see _own_data
    code = {path: "" if (text := read(path)) is None else md5(text) for path in sources}
    for stage in stages.values():
        for file, keys in listed(stage.get("params", [])).items():
            if file != PARAMS:
                values = _yaml(read, str(file))
                code |= {f"{file}:{key}": str(values.get(key)) for key in keys or values}
    return code


def _outputs(lock: Mapping[str, Any]) -> dict[str, str]:
    return {
        out["path"]: out.get("md5", "")
        for name, stage in lock.items()
        if name != TRACK
        for out in stage.get("outs", [])
    }


def _paths(stage: Mapping[str, Any], *parts: str) -> list[str]:
    entries = [entry for part in parts for entry in stage.get(part, [])]
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def _yaml(read: Read, path: str) -> dict[str, Any]:
    content = read(path)
    if content is None:
        raise PipelineError(f"{path} does not exist")
    return parse(content, path)


def _plain(value: Any) -> Any:
    """The value with 1.0 as 1, so that -S beta=1 and beta: 1.0 are the same, as for DVC."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(_plain(value), sort_keys=True).encode()).hexdigest()
