"""Loading never executes what it loads, and what we show people to start listens on loopback."""

import ast
import io
import pickle
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from mnist_vae import model
from mnist_vae.errors import PipelineError
from tests.support.checkout import ROOT

SOURCES = sorted([*ROOT.glob("src/**/*.py"), *ROOT.glob("stages/*.py")])
EXECUTES = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
YAML_SAFE = {"CSafeLoader", "MappingNode", "ScalarNode", "YAMLError"}  # of PyYAML's names
FORBIDDEN = {"torch.load", "torch.save", "torch.hub", "np.save", "np.savez", "eval", "exec"}


def dotted(node: ast.expr) -> str:
    return ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""


def faults(source: str) -> list[str]:
    """Everything in a source that could execute what it loads."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name in EXECUTES]
        elif isinstance(node, ast.ImportFrom):
            found += [node.module] if node.module in {*EXECUTES, "yaml"} else []
        elif isinstance(node, ast.Attribute) and dotted(node.value) == "yaml":
            found += [] if node.attr in YAML_SAFE else [dotted(node)]
        elif isinstance(node, ast.Call):
            name, given = dotted(node.func), {key.arg: key.value for key in node.keywords}
            if name in FORBIDDEN or name.endswith((".extract", ".extractall", "read_pickle")):
                found.append(name)
            allowed = given.get("allow_pickle")
            if name in ("np.load", "numpy.load") or allowed is not None:
                found += [] if isinstance(allowed, ast.Constant) and not allowed.value else [name]
            if name == "YAML" and ast.unparse(given.get("typ", ast.Constant("rt"))) != "'safe'":
                found.append("YAML that is not safe")
            shell = given.get("shell")
            if shell is not None and ast.unparse(shell) != "False":
                found.append("shell")
    return found


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(path)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text, yaml.CSafeLoader)",
        "yaml.UnsafeLoader(text)",
        "from yaml import load",
        "YAML().load(text)",
        "YAML(typ='unsafe').load(text)",
        "archive.extractall()",
        "eval(text)",
        "subprocess.run(text, shell=True)",
    ],
)
def test_the_check_finds_what_executes(source: str) -> None:
    assert faults(source)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_no_source_loads_what_could_be_executed(path: Path) -> None:
    assert faults(path.read_text()) == []


class Attack:
    """Unpickling this writes a file."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (self.witness,)


def pickled(attack: Attack) -> bytes:
    return pickle.dumps(attack)


def torch_archive(attack: Attack) -> bytes:
    buffer = io.BytesIO()
    torch.save({"decoder.0.weight": attack}, buffer)
    return buffer.getvalue()


def numpy_file(attack: Attack) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([attack], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def zip_archive(attack: Attack) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(attack))
    return buffer.getvalue()


@pytest.mark.parametrize("form", [pickled, torch_archive, numpy_file, zip_archive])
def test_a_model_that_is_a_pickle_is_refused_and_not_run(
    tmp_path: Path, form: "type[object]"
) -> None:
    witness, path = tmp_path / "executed", tmp_path / "vae.safetensors"
    path.write_bytes(form(Attack(witness)))  # type: ignore[call-arg,arg-type]
    with pytest.raises(PipelineError, match=r"vae\.safetensors is damaged"):
        model.load(path)
    assert not witness.exists()
    if form is pickled:
        pickle.loads(path.read_bytes())  # noqa: S301
        assert witness.exists()  # so it would have been


SHOWN = [ROOT / "README.md", ROOT / "Makefile", *sorted(ROOT.glob("docs/**/*.md")), *SOURCES]
STARTS = re.compile(
    r"\b(?:mlflow (?:ui|server|models serve)|dvc studio|python -m http\.server)\b[^`\n#|]*"
)
OPEN = re.compile(r"(?:--host|-h|--bind|--listen-host)[ =](?!127\.0\.0\.1\b|localhost\b|::1\b)\S+")


def open_to_others(text: str) -> list[str]:
    commands = (match[0] for match in STARTS.finditer(text.replace("\\\n", " ")))
    return [
        command
        for command in commands
        if OPEN.search(command) or ("http.server" in command and "--bind" not in command)
    ]


def test_every_server_that_we_show_listens_on_loopback() -> None:
    assert open_to_others("mlflow ui --host 0.0.0.0")
    assert open_to_others("mlflow models serve -h 0.0.0.0 --port 5001")
    assert open_to_others("mlflow server \\\n  --port 5000 --host=::")
    assert not open_to_others("`mlflow ui --host 127.0.0.1 --port 5001`")
    texts = {path: path.read_text() for path in SHOWN}
    assert any(STARTS.search(text) for text in texts.values())
    assert {path.name: open_to_others(text) for path, text in texts.items()} == {
        path.name: [] for path in SHOWN
    }


@pytest.mark.filterwarnings("ignore")  # third parties, at import
def test_mlflows_own_default_is_loopback() -> None:
    from mlflow.cli import server  # `mlflow ui` is another name for it

    (host,) = (option for option in server.params if option.name == "host")
    assert host.default == "127.0.0.1"
