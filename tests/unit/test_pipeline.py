"""dvc.yaml says the truth: deps are the files imported, params the keys read, for every stage."""

import ast
import dataclasses
import importlib
import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from mnist_vae import params

ROOT = Path(__file__).parents[2]
PIPELINE: dict[str, Any] = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text())
STAGES = sorted(PIPELINE["stages"])
LIBRARY = [path for path in (ROOT / "src/mnist_vae").glob("*.py") if path.stem != "__main__"]


def module_file(name: str) -> Path | None:
    """The in-repo file of a dotted module name, if it is one."""
    for base in (ROOT / "src", ROOT):
        path = base / (name.replace(".", "/") + ".py")
        if path.exists():
            return path
    return None


def imported(path: Path) -> set[Path]:
    """In-repo files that `path` imports, through any number of steps, at any place in the file.

    The walk stops at the packages experiments and tracking, which cannot change an output.
    """
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    found: set[Path] = set()
    for name in names:
        file = module_file(name)
        if file is not None and not {"experiments", "tracking"} & set(file.parts):
            found |= {file} | imported(file)
    return found


def packages(stage: str) -> set[str]:
    """The packages that a stage imports, wherever in its files."""
    entry = ROOT / f"stages/{stage}.py"
    names: set[str] = set()
    for path in imported(entry) | {entry}:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.split(".")[0])
    return names


def declared_params(stage: str) -> set[str]:
    entries = PIPELINE["stages"][stage].get("params", [])
    return {entry for entry in entries if isinstance(entry, str)}


def params_classes(path: Path) -> list[type]:
    """The dataclasses that a stage hands to inputs.load."""
    module = importlib.import_module(f"stages.{path.stem}")
    classes = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "inputs.load":
            classes.append(eval(ast.unparse(node.args[0]), vars(module)))  # noqa: S307
    return classes


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "track"])
def test_deps_are_exactly_the_files_that_the_stage_imports(stage: str) -> None:
    entry = ROOT / f"stages/{stage}.py"
    runner = ROOT / "stages/__main__.py"
    walked = {entry, runner} | imported(entry) | imported(runner)
    files = {str(path.relative_to(ROOT)) for path in walked}
    declared = {dep for dep in PIPELINE["stages"][stage]["deps"] if dep.endswith(".py")}
    assert declared == files


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "track"])
def test_params_are_exactly_the_keys_that_the_stage_reads(stage: str) -> None:
    classes = params_classes(ROOT / f"stages/{stage}.py")
    assert classes
    read = {field.name for kind in classes for field in dataclasses.fields(kind)}
    if {"matplotlib", "torch"} & packages(stage):  # the others have whole numbers only
        read.add("arithmetic")  # stages/__main__.py settles it
    assert declared_params(stage) == read


def test_track_depends_on_all_results_code_and_parameters_and_is_never_cached() -> None:
    track = PIPELINE["stages"]["track"]
    results = {"metrics/evaluation.json", "metrics/history.csv", "models/vae.safetensors"}
    assert all(path.startswith("plots/") for path in outputs("plots"))
    results |= {"plots", "src/mnist_vae", "stages"}
    assert set(track["deps"]) == results
    assert {"params.yaml": None} in track["params"]
    assert not {"metrics", "plots"} & set(track)
    assert track["outs"] == [{"metrics/.tracked": {"cache": False, "persist": True}}]
    assert "/metrics/.tracked" in (ROOT / ".gitignore").read_text().splitlines()


def test_every_parameter_is_used_and_described() -> None:
    values = params.check(ROOT / "params.yaml", ROOT / "params.schema.json")
    schema = json.loads((ROOT / "params.schema.json").read_text())
    used = set().union(*(declared_params(stage) for stage in STAGES))
    assert set(values) == set(schema["properties"]) == set(schema["required"]) == used
    assert all(rule["description"] for rule in schema["properties"].values())


def test_no_params_dataclass_has_a_default() -> None:
    for path in LIBRARY:
        module = importlib.import_module(f"mnist_vae.{path.stem}")
        for name, kind in vars(module).items():
            if name.endswith("Params"):
                assert dataclasses.is_dataclass(kind)
                assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
                for field in dataclasses.fields(kind):
                    assert field.default is dataclasses.MISSING
                    assert field.default_factory is dataclasses.MISSING


def outputs(stage: str) -> list[str]:
    entries = [
        out
        for kind in ("outs", "metrics", "plots")
        for out in PIPELINE["stages"][stage].get(kind, [])
    ]
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def test_every_output_belongs_to_one_stage_and_every_library_file_to_some_stage() -> None:
    everything = [path for stage in STAGES for path in outputs(stage)]
    assert len(everything) == len(set(everything))
    deps = {dep for stage in PIPELINE["stages"].values() for dep in stage["deps"]}
    commands = {
        str(path.relative_to(ROOT)) for path in imported(ROOT / "src/mnist_vae/__main__.py")
    }
    files = {str(path.relative_to(ROOT)) for path in LIBRARY if path.stem != "__init__"}
    assert files <= deps | commands


def test_only_tracking_imports_mlflow() -> None:
    for path in [*LIBRARY, *(ROOT / "stages").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] == "mlflow" for name in modules), path
