"""What a stage noted is compared with what is there: files, folders, parameters."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mnist_vae import packages
from mnist_vae.errors import PipelineError
from mnist_vae.inputs import Inputs
from mnist_vae.plots import PlotParams
from tests.support.settings import lay_out

PIPELINE = """
stages:
  one:
    deps: [code.py, folder]
    params: [plot_dpi]
  all:
    deps: [code.py]
    params:
      - params.yaml:
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(tmp_path)
    (tmp_path / "dvc.yaml").write_text(PIPELINE)
    (tmp_path / "code.py").write_text("code")
    (tmp_path / "folder/__pycache__").mkdir(parents=True)
    (tmp_path / "folder/file").write_text("file")
    monkeypatch.chdir(tmp_path)


def set_to(key: str, value: str) -> None:
    lines = Path("params.yaml").read_text().splitlines()
    changed = [f"{key}: {value}" if line.startswith(f"{key}:") else line for line in lines]
    Path("params.yaml").write_text("\n".join(changed))


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda: Path("code.py").write_text("other"), "code.py was changed while one ran"),
        (lambda: Path("code.py").unlink(), "code.py has vanished while one ran"),
        (lambda: Path("folder/file").write_text("other"), "folder/file was changed"),
        (lambda: Path("folder/new").write_text("new"), "folder/new was added while one ran"),
        (lambda: shutil.rmtree("folder"), "folder/file has vanished"),
        (lambda: set_to("plot_dpi", "151"), "plot_dpi was 150 when one began and is 151 now"),
        (lambda: Path("params.yaml").write_text("a: 1"), "plot_dpi was 150 .* and is missing now"),
        (lambda: Path("params.yaml").write_text("a: ["), "not valid YAML"),
        (lambda: Path("params.yaml").unlink(), "params.yaml has vanished"),
    ],
)
def test_every_change_is_named_in_one_line(edit: Callable[[], object], says: str) -> None:
    inputs = Inputs("one")
    inputs.check()
    edit()
    with pytest.raises(PipelineError, match=says) as caught:
        inputs.check()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "edit",
    [
        lambda: set_to("epochs", "31"),
        lambda: Path("folder/__pycache__/file.pyc").write_bytes(b"compiled"),
        lambda: Path("folder/.file.abc.tmp").write_bytes(b"half written"),
        lambda: os.utime("code.py"),
    ],
    ids=["another stage's key", "bytecode", "half a file", "a touch"],
)
def test_what_the_stage_does_not_depend_on_may_change(edit: Callable[[], object]) -> None:
    inputs = Inputs("one")
    edit()
    inputs.check()


def test_a_stage_that_depends_on_all_parameters_sees_each() -> None:
    inputs = Inputs("all")
    set_to("epochs", "31")
    with pytest.raises(PipelineError, match="epochs was 30 when all began and is 31 now"):
        inputs.check()


def test_an_edit_that_was_undone_is_seen_only_while_the_stage_reads() -> None:
    inputs = Inputs("one")
    Path("code.py").write_text("edited")
    Path("code.py").write_text("code")
    os.utime("code.py", (1, 1))  # two writes within the clock's tick bear the same time
    with pytest.raises(PipelineError, match=r"code\.py was written while one was reading it"):
        inputs.check_untouched()
    inputs.check()


def test_values_are_those_that_were_noted() -> None:
    inputs = Inputs("one")
    digest = inputs.digest
    set_to("plot_dpi", "151")
    assert inputs.load(PlotParams) == PlotParams(150)
    assert inputs.digest == digest != Inputs("one").digest


def test_a_stage_that_there_is_not_is_named() -> None:
    with pytest.raises(PipelineError, match=r"there is no stage two; dvc\.yaml has one, all"):
        Inputs("two")


def test_another_version_of_a_package_is_named_before_any_work() -> None:
    Path("dvc.yaml").write_text(PIPELINE.replace("[plot_dpi]", "[{packages.yaml: [numpy]}]"))
    inputs = Inputs("one")
    file = Path("packages.yaml")
    text = file.read_text()
    changed = re.sub(r"(?m)^numpy: .*", 'numpy: "1.0.0"', text)
    assert changed != text
    file.write_text(changed)
    with pytest.raises(PipelineError, match=r"packages.yaml: numpy was '.*' when one began") as one:
        inputs.check()
    with pytest.raises(
        PipelineError, match=r"numpy is installed, and packages.yaml has 1.0.0"
    ) as two:
        Inputs("one")
    assert "\n" not in f"{one.value}{two.value}"
    file.write_text(re.sub(r"(?m)^torch: .*", 'torch: "1.0.0"', text))
    Inputs("one")  # of another stage


def test_the_versions_are_those_of_the_lock() -> None:
    Path("packages.yaml").write_text("# why\nnumpy: old\n")
    Path("requirements.lock").write_text("numpy==2.4.6 \\\n    --hash=sha256:0\nnumpy-x==3 \\\n")
    packages.update()
    assert Path("packages.yaml").read_text() == '# why\nnumpy: "2.4.6"\n'
    Path("requirements.lock").write_text("numpy==2.4.6 ; python_version < '3.12'\nnumpy==2.5.5 ;\n")
    with pytest.raises(
        PipelineError, match=r"must hold one version of numpy; it holds 2\.4\.6, 2\.5"
    ):
        packages.update()


def test_a_folder_that_a_parameter_names_is_noted() -> None:
    Path("dvc.yaml").write_text(PIPELINE.replace("folder]", "'${data_folder}']"))
    set_to("data_folder", "folder")
    inputs = Inputs("one")
    assert set(inputs.digests) == {Path("code.py"), Path("folder/file")}
    Path("folder/file").write_text("another picture")
    with pytest.raises(PipelineError, match="folder/file was changed while one ran"):
        inputs.check()
