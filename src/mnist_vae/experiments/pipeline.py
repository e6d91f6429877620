"""dvc.yaml and dvc.lock: what the stages depend on, and whether they have run on it."""

import posixpath
from collections.abc import Callable, Mapping
from typing import Any

from mnist_vae.errors import PipelineError
from mnist_vae.experiments.outputs import md5
from mnist_vae.experiments.yaml12 import parse
from mnist_vae.inputs import filled, listed
from mnist_vae.params import PARAMS

Read = Callable[[str], bytes | None]
TRACK = "track"  # the stage that only looks: its code cannot change a result
OUTPUTS = ("outs", "metrics", "plots")


def stages_of(read: Read) -> dict[str, Any]:
    """dvc.yaml's stages, without the one that only looks."""
    stages = read_yaml(read, "dvc.yaml").get("stages", {})
    return {name: stage for name, stage in stages.items() if name != TRACK}


def producers(read: Read) -> dict[str, str]:
    """Output -> the stage that makes it, in dvc.yaml's order."""
    stages = stages_of(read).items()
    return {path: name for name, stage in stages for path in _paths(stage, *OUTPUTS)}


def sources(read: Read, stages: Mapping[str, Any]) -> dict[str, str]:
    """The md5 of all files that stages depend on and no stage makes, and packages' versions."""
    made = {path for stage in stages.values() for path in _paths(stage, *OUTPUTS)}
    files = {dep for stage in stages.values() for dep in _paths(stage, "deps")} - made
    files = {path for path in files if "${" not in path}  # see own_data
    code = {path: "" if (text := read(path)) is None else md5(text) for path in files}
    for stage in stages.values():
        for file, keys in listed(stage.get("params", [])).items():
            if file != PARAMS:
                values = read_yaml(read, str(file))
                code |= {f"{file}:{key}": str(values.get(key)) for key in keys or values}
    return code


def outputs_of(lock: Mapping[str, Any]) -> dict[str, str]:
    """Output -> md5, of the stages of a dvc.lock."""
    return {
        out["path"]: out.get("md5", "")
        for name, stage in lock.items()
        if name != TRACK
        for out in stage.get("outs", [])
    }


def own_data(read: Read, params: Mapping[str, Any], stages: Mapping[str, Any]) -> str:
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
        if any(_same(dep["path"], path) for path in _own_paths(stage, params))
    )


def outdated(
    stages: Mapping[str, Any], lock: Mapping[str, Any], code: Mapping[str, str], params: Any
) -> str:
    """Why dvc.lock does not describe these stages, code and parameters; empty if it does."""
    outputs = outputs_of(lock)
    for name, stage in stages.items():
        entry = lock.get(name)
        if entry is None:
            return f"dvc.lock has no stage {name}: the pipeline has not run to its end"
        if entry.get("cmd") != stage.get("cmd"):
            return f"dvc.lock holds another command of stage {name}"
        seen = {dep["path"]: dep.get("md5", "") for dep in entry.get("deps", [])}
        for path in _own_paths(stage, params):
            if not any(_same(there, path) for there in seen):
                return f"dvc.lock was made from another folder than {path} (stage {name})"
        for path in _paths(stage, "deps"):
            if "${" not in path and seen.get(path) != (code.get(path) or outputs.get(path)):
                return f"dvc.lock is older than {path} (stage {name})"
        for file, keys in listed(stage.get("params", [])).items():
            values = entry.get("params", {}).get(str(file), {})
            for key in keys or []:
                wanted = params.get(key) if file == PARAMS else code.get(f"{file}:{key}")
                if key not in values or plain(values[key]) != plain(wanted):
                    return f"dvc.lock holds another {key} (stage {name})"
    return ""


def read_yaml(read: Read, path: str) -> dict[str, Any]:
    """A YAML file's mapping; PipelineError if there is none."""
    content = read(path)
    if content is None:
        raise PipelineError(f"{path} does not exist")
    return parse(content, path)


def plain(value: Any) -> Any:
    """The value with 1.0 as 1, so that -S beta=1 and beta: 1.0 are the same, as for DVC."""
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _own_paths(stage: Mapping[str, Any], params: Mapping[str, Any]) -> list[str]:
    """A stage's dependencies that parameters name, as dvc.lock writes them."""
    return [filled(path, params) for path in _paths(stage, "deps") if "${" in path]


def _same(locked: str, given: str) -> bool:
    """Does dvc.lock speak of that path? DVC writes what lies in the project as from its root."""
    locked, given = posixpath.normpath(locked), posixpath.normpath(given)
    inside = posixpath.isabs(given) and not posixpath.isabs(locked)
    return locked == given or (inside and given.endswith(f"/{locked}"))


def _paths(stage: Mapping[str, Any], *parts: str) -> list[str]:
    entries = [entry for part in parts for entry in stage.get(part, [])]
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]
