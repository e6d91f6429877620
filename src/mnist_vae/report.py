"""The report on one run: an HTML file that needs nothing beside it.

It holds nothing that differs between identical runs, so it names no commit, no time and no
machine; the MLflow run knows those.
"""

import base64
import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mnist_vae.chart import Chart, Line, chart, minus, shown
from mnist_vae.errors import PipelineError
from mnist_vae.history import Row

CURVES = {"elbo": "ELBO, maximised", "rate": "Rate, KL(q(z|x) ‖ p(z))", "distortion": "Distortion"}
HEADLINE = ("test_elbo", "test_rate", "test_distortion")
NATS, BITS = "nats per image", "bits per pixel"
# Which stage writes what later ones, and the report, are made from; in the pipeline's order.
CHAIN = {
    "data/processed/train.safetensors": "preprocess",
    "data/processed/validation.safetensors": "preprocess",
    "data/processed/test.safetensors": "preprocess",
    "models/vae.safetensors": "train",
    "metrics/history.csv": "train",
    "metrics/evaluation.json": "evaluate",
    "results/evaluation.safetensors": "evaluate",
}
# What the pictures show, in the order of the page; others follow by name.
CAPTIONS = {
    "manifold": "Images decoded at a grid of latent vectors",
    "manifold_quantiles": "The same at quantiles of the prior, unit by unit",
    "prior_samples": "Images decoded from draws of the prior",
    "interpolations": "From one test image to another, in equal steps of the code",
    "traversals": "What each latent unit does on its own",
    "reconstructions": "Test images and their reconstructions",
    "elbo_per_image": "The ELBO of single test images, and those at its ends",
    "confusion": "Classes that the nearest neighbours mistake",
    "latent": "Latent means of the test images",
    "latent_units": "KL of each latent unit",
    "training": "What training reached, epoch by epoch",
    "vae": "The model",
    "encoder": "The encoder, layer by layer",
    "decoder": "The decoder, layer by layer",
}


@dataclass(frozen=True)
class Metric:
    """A figure of metrics/evaluation.json for people; `error`: its standard error, or empty."""

    name: str
    value: str
    error: str
    unit: str


@dataclass(frozen=True)
class Picture:
    """A PNG inside the page: a data URI, and its size in pixels."""

    name: str
    caption: str
    uri: str
    width: int
    height: int


@dataclass(frozen=True)
class Made:
    """An output by its MD5, as DVC knows it, and the stage that wrote it."""

    path: str
    stage: str
    md5: str


@dataclass(frozen=True)
class Setting:
    """A parameter as one writes it for `-S`, and what it is."""

    name: str
    value: str
    description: str


def page(
    values: Mapping[str, Any],
    schema: Mapping[str, Any],
    measured: Mapping[str, Any],
    epochs: Sequence[Row],
    pictures: Sequence[Path],
    chain: Sequence[Made],
) -> str:
    """The report as HTML.

    values: all parameters; schema: params.schema.json; measured: metrics/evaluation.json; epochs:
    metrics/history.csv; pictures: PNG files.
    """
    ((protocol, metrics),) = measured.items()
    return render(
        "report.html.j2",
        title=f"VAE on {values['dataset']}: latent_dim {values['latent_dim']}",
        protocol=protocol,
        headline=headline(measured),
        metrics=listed(metrics),
        charts=curves({"": epochs}),
        pictures=[picture(path, path.read_bytes()) for path in sorted(pictures, key=place)],
        groups=grouped(values, schema),
        chain=chain,
        command=repeat(values),
    )


def render(template: str, **content: object) -> str:
    """A template of this folder, everything in it escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(**content)


def read_metrics(path: Path) -> dict[str, Any]:
    """Read metrics/evaluation.json; PipelineError if it is damaged."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise PipelineError(f"{path} is damaged ({error}); run `dvc repro evaluate`") from None


def headline(measured: Mapping[str, Any]) -> list[Metric]:
    """Test ELBO, rate and distortion, with two decimals."""
    found = []
    for metrics in measured.values():
        for name in HEADLINE:
            if name in metrics:
                error = metrics.get(f"{name}_se")
                people = name.replace("_", " ").replace("elbo", "ELBO")
                shown_error = "" if error is None else shown(error)
                found.append(Metric(people, shown(metrics[name]), shown_error, NATS))
    return found


def listed(metrics: Mapping[str, Any]) -> list[Metric]:
    """The metrics of a protocol, each with its standard error and unit, in the file's order."""
    return [
        Metric(name, _number(value), _number(metrics.get(f"{name}_se", "")), unit(name))
        for name, value in metrics.items()
        if not name.endswith("_se")
    ]


def unit(name: str) -> str:
    """The unit of a metric; empty if it has none that we know."""
    if name.endswith("_bits_per_dimension"):
        return BITS
    if name.endswith("_accuracy"):
        return "of the test images"
    nats = ("elbo", "rate", "distortion", "iwae", "log_px", "quadrature")
    return NATS if name.removeprefix("test_").startswith(nats) else ""


def _number(value: object) -> str:
    return minus(f"{value:.4f}") if isinstance(value, float) else str(value)


def curves(runs: Mapping[str, Sequence[Row]]) -> list[Chart]:
    """ELBO, rate and distortion against the epoch, a colour for each run; training is dashed.

    A single run has no name, and a colour for each split.
    """
    charts = []
    for term, title in CURVES.items():
        lines = []
        for tone, (run, rows) in enumerate(runs.items()):
            for other, split in enumerate(("validation", "train")):
                name = f"{split}_{term}"
                points = {int(row["epoch"]): row[name] for row in rows if name in row}
                shade = tone if run else other
                lines.append(Line(f"{run} {split}".strip(), shade, split == "train", points))
        charts.append(chart(title, NATS, lines))
    return [one for one in charts if one]


def place(path: Path) -> tuple[int, str]:
    """Where a picture stands on a page, for sorting."""
    names = list(CAPTIONS)
    return names.index(path.stem) if path.stem in CAPTIONS else len(names), path.stem


def picture(path: Path, content: bytes) -> Picture:
    """A PNG file as a part of the page."""
    width, height = (int.from_bytes(content[start : start + 4]) for start in (16, 20))
    uri = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    return Picture(path.stem, CAPTIONS.get(path.stem, path.stem), uri, width, height)


def grouped(values: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, list[Setting]]:
    """The parameters under the headings of params.yaml, which the schema has as `x-groups`."""
    groups: dict[str, list[Setting]] = {}
    heading = "Parameters"
    for name, rule in schema["properties"].items():
        heading = schema["x-groups"].get(name, heading)
        setting = Setting(name, written(values[name]), rule["description"])
        groups.setdefault(heading, []).append(setting)
    return groups


def repeat(values: Mapping[str, Any]) -> str:
    """The command that makes this run again with this code, whatever params.yaml holds."""
    settings = [f"-S {shlex.quote(f'{name}={written(value)}')}" for name, value in values.items()]
    return " \\\n  ".join(["dvc exp run", *settings])


def written(value: object) -> str:
    """A parameter's value as one writes it for `-S`."""
    return value if isinstance(value, str) else json.dumps(value)


def made(files: Sequence[Path]) -> list[Made]:
    """Those of the files that stages before wrote, in the pipeline's order, by their content."""
    return [
        Made(path, stage, _md5(Path(path))) for path, stage in CHAIN.items() if Path(path) in files
    ]


def _md5(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
