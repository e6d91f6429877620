"""dvc.yaml says the truth: deps are the files imported, params the keys read, for every stage."""

import ast
import dataclasses
import importlib
import inspect
import json
import re
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from mnist_vae import packages as packages_module
from mnist_vae import params, refusals, report
from tests.support.checkout import PICTURES, PIPELINE, ROOT, RULES, SCHEMA, STAGES, outputs
from tests.support.settings import SETTINGS

# What only looks, only refuses or only shows (dvc.yaml says why).
EXEMPT = {"errors", "experiments", "packages", "progress", "refusals", "tracking"}
# The packages that can change an output, by the name that one imports, and what they compute with.
COMPUTES = {
    "matplotlib": {"contourpy", "kiwisolver", "matplotlib", "numpy", "pillow"},
    "jinja2": {"jinja2", "markupsafe"},
    "numpy": {"numpy"},
    "pandas": {"numpy", "pandas"},
    "PIL": {"pillow"},
    "safetensors": {"safetensors"},
    "sklearn": {"numpy", "scikit-learn", "scipy"},
    "torch": {"torch"},
}
# And those that cannot: they read text, fetch files whose hashes are pinned, and show.
HARMLESS = {"jsonschema", "mnist_vae", "requests", "ruamel", "threadpoolctl", "tqdm", "urllib3"}
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

    The walk stops at what cannot change an output.
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
        if file is not None and not EXEMPT & {file.stem, *file.parts}:
            found |= {file} | imported(file)
    return found


def packages(stage: str) -> set[str]:
    """The packages that a stage imports, wherever in its files."""
    entry, runner = ROOT / f"stages/{stage}.py", ROOT / "stages/__main__.py"
    names: set[str] = set()
    for path in imported(entry) | imported(runner) | {entry, runner}:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.split(".")[0])
    return names


def declared_params(stage: str) -> set[str]:
    entries = PIPELINE["stages"][stage].get("params", [])
    return {entry for entry in entries if isinstance(entry, str)}


def declared(stage: str, file: str) -> set[str]:
    """The keys of another file than params.yaml that a stage lists as its params."""
    entries = PIPELINE["stages"][stage].get("params", [])
    return {key for entry in entries if isinstance(entry, dict) for key in entry.get(file) or []}


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


# The report shows all parameters, so it names none.
@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage not in {"report", "track"}])
def test_params_are_exactly_the_keys_that_the_stage_reads(stage: str) -> None:
    classes = params_classes(ROOT / f"stages/{stage}.py")
    assert classes
    read = {field.name for kind in classes for field in dataclasses.fields(kind)}
    if {"matplotlib", "torch"} & packages(stage):  # the others have whole numbers only
        read.add("arithmetic")  # stages/__main__.py settles it
    assert declared_params(stage) == read


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "track"])
def test_packages_are_exactly_those_that_the_stage_imports(stage: str) -> None:
    imports = {name for name in packages(stage) if name not in sys.stdlib_module_names}
    assert imports <= COMPUTES.keys() | HARMLESS | {"stages"}
    computing = set().union(*(COMPUTES[name] for name in imports & COMPUTES.keys()))
    assert declared(stage, "packages.yaml") == computing


def test_packages_yaml_holds_what_the_lock_holds_and_no_more() -> None:
    versions = YAML(typ="safe", pure=True).load((ROOT / "packages.yaml").read_text())
    lock = (ROOT / "requirements.lock").read_text()
    for name, version in versions.items():
        assert re.findall(rf"^{name}==(\S+)", lock, re.MULTILINE) == [version]
    listed = set().union(*(declared(stage, "packages.yaml") for stage in STAGES))
    assert versions.keys() == listed == set().union(*COMPUTES.values())


def test_what_only_refuses_hands_out_nothing() -> None:
    for module in (refusals, packages_module):
        assert inspect.get_annotations(module.refuse)["return"] is None


def test_track_depends_on_all_results_code_and_parameters_and_is_never_cached() -> None:
    track = PIPELINE["stages"]["track"]
    results = {"metrics/evaluation.json", "metrics/history.csv", "models/vae.safetensors"}
    assert all(path.startswith("plots/") for path in outputs("plots"))
    results |= {"plots", *outputs("report"), "src/mnist_vae", "stages"}
    assert set(track["deps"]) == results
    assert track["params"] == [{"packages.yaml": None}, {"params.yaml": None}]
    assert not {"metrics", "plots"} & set(track)
    assert track["outs"] == [{"metrics/.tracked": {"cache": False, "persist": True}}]
    assert "/metrics/.tracked" in (ROOT / ".gitignore").read_text().splitlines()


def test_the_report_depends_on_what_it_shows_and_on_its_templates() -> None:
    stage = PIPELINE["stages"]["report"]
    files = {dep for dep in stage["deps"] if not dep.endswith((".py", ".j2"))}
    assert files == {*PICTURES, *report.CHAIN, "params.schema.json"}
    of = {path: name for name in STAGES for path in outputs(name)}
    assert {path: of[path] for path in report.CHAIN} == report.CHAIN
    assert list(report.CHAIN.values()) == sorted(report.CHAIN.values(), key=STAGES.index)
    templates = {dep for dep in stage["deps"] if dep.endswith(".j2")}
    assert templates == {str(path.relative_to(ROOT)) for path in used("report.html.j2")}
    assert {"params.yaml": None} in stage["params"]


def used(template: str) -> set[Path]:
    """A template and those that it names, through any number of steps."""
    path = ROOT / "src/mnist_vae" / template
    named = re.findall(r'{%-? (?:extends|import|include) "([^"]+)"', path.read_text())
    return {path}.union(*(used(name) for name in named))


def test_every_parameter_is_used_and_described() -> None:
    values = params.check(ROOT / "params.yaml", SCHEMA)
    schema = json.loads(SCHEMA.read_text())
    used = set().union(*(declared_params(stage) for stage in STAGES))
    assert set(values) == set(SETTINGS) == set(RULES) == set(schema["required"]) == used
    assert all(rule["description"] for rule in RULES.values())


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


def test_every_output_belongs_to_one_stage_and_every_library_file_to_some_stage() -> None:
    everything = outputs()
    assert len(everything) == len(set(everything))
    deps = {dep for stage in PIPELINE["stages"].values() for dep in stage["deps"]}
    commands = {
        str(path.relative_to(ROOT)) for path in imported(ROOT / "src/mnist_vae/__main__.py")
    }
    files = {
        str(path.relative_to(ROOT)) for path in LIBRARY if path.stem not in {"__init__", *EXEMPT}
    }
    assert files <= deps | commands


def test_only_tracking_imports_mlflow() -> None:
    for path in [*LIBRARY, *(ROOT / "stages").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] == "mlflow" for name in modules), path
