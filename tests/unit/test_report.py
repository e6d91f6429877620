"""The report shows what the files say, escaped, and is the same for the same files."""

import base64
import json
import os
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from mnist_vae import figure, plots, report
from mnist_vae.errors import PipelineError
from mnist_vae.experiments.outputs import md5
from mnist_vae.inputs import Inputs
from stages import report as stage
from tests.support.checkout import PICTURES, ROOT, SCHEMA
from tests.support.settings import SETTINGS, lay_out

MEASURED: dict[str, Any] = {
    "greyscale": {
        "test_elbo": -136.784657,
        "test_elbo_se": 0.4966812,
        "active_units": 2,
        "test_set_sha256": "<b>",
    }
}
HISTORY = "epoch,beta,learning_rate,train_objective,train_elbo,train_rate,train_distortion\n"


class Page(HTMLParser):
    """The attributes of all tags, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += f"{data} "

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the inputs of the stage."""
    lay_out(tmp_path)
    for name in report.CHAIN:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "metrics/evaluation.json").write_text(json.dumps(MEASURED))
    rows = "1,1,0.1,-9,-9,3,6\n2,1,0.1,-8,-8,2,6\n"
    (tmp_path / "metrics/history.csv").write_text(HISTORY + rows)
    figure.save(plots.latent_units(np.ones(2), np.ones(2)), tmp_path / "plots/one.png", 50)
    for picture in PICTURES:
        (tmp_path / picture).write_bytes((tmp_path / "plots/one.png").read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_stage_writes_one_file_that_needs_nothing_else(workspace: Path) -> None:
    stage.main(Inputs("report"))
    first = stage.REPORT.read_bytes()
    stage.main(Inputs("report"))
    assert stage.REPORT.read_bytes() == first
    page = Page(first.decode())
    assert not page.all("link")[1:]
    assert [script for script in page.all("script") if "src" in script] == []
    drawn = page.all("img")
    assert len(drawn) == len(PICTURES)
    picture = (workspace / "plots/one.png").read_bytes()
    for image in drawn:
        assert image["alt"]
        assert (image["width"], image["height"]) == ("400", "180")
        kind, _, content = str(image["src"]).partition(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(content) == picture
    assert str(workspace) not in first.decode()


def test_it_shows_figures_with_errors_and_units_parameters_and_hashes(workspace: Path) -> None:
    stage.main(Inputs("report"))
    page = Page(stage.REPORT.read_text())
    text = " ".join(page.text.split())
    assert "test ELBO −136.78 ± 0.50 nats per image" in text
    assert "test_elbo −136.7847 ± 0.4967 nats per image" in text
    assert "active_units 2" in text
    assert "test_set_sha256 <b>" in text
    for name, value in SETTINGS.items():
        assert f"{name} {report.written(value)} " in text
    for path in report.CHAIN:
        assert f"{path} {md5(Path(path).read_bytes())}" in text
    charts = page.all("figure")[:3]
    hover = [json.loads(str(chart["data-points"])) for chart in charts]
    assert [one["lines"][0]["text"] for one in hover] == [
        ["−9.00", "−8.00"],
        ["3.00", "2.00"],
        ["6.00", "6.00"],
    ]


def test_the_groups_are_those_of_params_yaml() -> None:
    groups = report.grouped(SETTINGS, json.loads(SCHEMA.read_text()))
    headings: dict[str, list[str]] = {}
    for line in (ROOT / "params.yaml").read_text().splitlines()[4:]:
        if line.startswith("# "):
            headings[line[2:]] = []
        elif line:
            headings[list(headings)[-1]].append(line.split(":")[0])
    assert list(groups) == list(headings)
    for heading, settings in groups.items():
        assert {setting.name for setting in settings} == set(headings[heading])


def test_the_command_sets_every_parameter_to_its_value() -> None:
    words = shlex.split(report.repeat(SETTINGS).replace("\\\n", ""))
    assert words[:3] == ["dvc", "exp", "run"]
    assert words[3::2] == ["-S"] * len(SETTINGS)
    assert YAML(typ="safe").load("\n".join(word.replace("=", ": ", 1) for word in words[4::2])) == (
        SETTINGS
    )


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("test_elbo", "nats per image"),
        ("test_log_px_minus_iwae_50", "nats per image"),
        ("test_elbo_bits_per_dimension", "bits per pixel"),
        ("test_knn_accuracy", "of the test images"),
        ("active_units", ""),
    ],
)
def test_units(name: str, unit: str) -> None:
    assert report.unit(name) == unit


def test_damaged_metrics_are_named(tmp_path: Path) -> None:
    (tmp_path / "evaluation.json").write_text("{")
    with pytest.raises(PipelineError, match=r"evaluation\.json is damaged .*dvc repro evaluate"):
        report.read_metrics(tmp_path / "evaluation.json")


def test_the_stage_loads_neither_numpy_nor_torch_nor_mlflow() -> None:
    code = (
        "import sys, stages.report; sys.exit(bool({'numpy', 'torch', 'mlflow'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
