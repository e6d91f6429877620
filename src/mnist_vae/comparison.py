"""`vae report`: several experiments side by side, in one HTML page that needs nothing beside it."""

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnist_vae.arguments import Add, html
from mnist_vae.errors import PipelineError
from mnist_vae.experiments import outputs
from mnist_vae.experiments import snapshot as snapshots
from mnist_vae.experiments.repository import Repository, root
from mnist_vae.experiments.snapshot import ARRAYS, DATA, EVALUATION, HISTORY, Snapshot
from mnist_vae.files import write_text

if TYPE_CHECKING:
    from mnist_vae.report import Metric, Picture

WORKSPACE = "workspace"  # what the workspace is called, as by DVC


@dataclass(frozen=True)
class Row:
    """A line of a table: what it is about, a cell for each experiment, and a unit."""

    name: str
    cells: "list[str] | list[Metric | None] | list[Picture | None]"
    unit: str = ""


class Side:
    """One experiment: its name, snapshot, and its outputs, as far as they are there.

    Raises PipelineError if the name is unknown, or if it has no results.
    """

    def __init__(self, repository: Repository, name: str) -> None:
        self.name = name
        self.gone: list[str] = []
        self._repository = repository
        self._read = snapshots.workspace(repository.folder)
        if name != WORKSPACE:
            commit = repository.named(name)
            self._read = lambda path: repository.read(commit, path)
        self.snapshot: Snapshot = snapshots.load(self._read)
        if self.snapshot.problem:
            raise PipelineError(f"{name} has no results: {self.snapshot.problem}")
        self.metrics: dict[str, Any] = json.loads(self.content(EVALUATION) or b"{}")

    def content(self, path: str) -> bytes | None:
        """An output, from Git, the workspace or DVC's cache; None, and noted, if it is gone."""
        expected = self.snapshot.outputs.get(path, "")
        if not expected:
            return None
        found = self._read(path)
        if found is None or outputs.md5(found) != expected:
            cached = outputs.cached(self._repository.folder, expected)
            found = cached.read_bytes() if cached else None
        if found is None and path not in self.gone:
            self.gone.append(path)
        return found


def add(command: Add) -> None:
    """Add the command to those of `vae`."""
    report = command(
        "report",
        _report,
        "experiments side by side on one HTML page: parameters, metrics, curves, pictures",
        "HEAD latent_dim-16 --output comparison.html",
    )
    report.add_argument(
        "names", nargs="+", help=f"experiments or revisions, or `{WORKSPACE}`; two or more"
    )
    report.add_argument("--output", type=html, default=Path("comparison.html"))


def _report(arguments: argparse.Namespace) -> None:
    names = list(dict.fromkeys(arguments.names))
    if len(names) < 2:
        raise PipelineError("name two experiments or more; one has report/report.html")
    with Repository(root()) as repository:
        sides = [Side(repository, name) for name in names]
        write_text(arguments.output, page(sides))
    print(arguments.output)
    for side in sides:
        if side.gone:
            print(f"{gone(side, 2)}; {outputs.REMEDY}")


def page(sides: Sequence[Side]) -> str:
    """The comparison as HTML."""
    from mnist_vae import history, report

    rows = {}
    for side in sides:
        table = side.content(HISTORY)
        rows[side.name] = history.parse(table.decode()) if table else []
    pictures = _pictures(sides)
    return report.render(
        "comparison.html.j2",
        title=", ".join(side.name for side in sides),
        names=[side.name for side in sides],
        headline=[report.headline(side.metrics) for side in sides],
        same_code=len({side.snapshot.code for side in sides}) == 1,
        parameters=_parameters(sides),
        metrics=_metrics(sides),
        charts=report.curves(rows),
        pictures=pictures,
        chain=[
            Row(path, [side.snapshot.outputs.get(path, "-") for side in sides])
            for path in report.CHAIN
        ],
        gone=[gone(side) for side in sides if side.gone],
    )


def gone(side: Side, most: int | None = None) -> str:
    """What a side has lost, in one line that names at most so many."""
    named, more = side.gone[:most], len(side.gone[most:]) if most else 0
    also = f" and {more} more" if more else ""
    return f"{side.name}: not in DVC's cache: {', '.join(named)}{also}"


def _parameters(sides: Sequence[Side]) -> list[Row]:
    """The parameters that are not the same everywhere."""
    from mnist_vae.report import written

    params = [side.snapshot.params for side in sides]
    names = {
        name for one in params for other in params for name in snapshots.difference(one, other)
    }
    order = list(dict.fromkeys(name for one in params for name in one))
    return [
        Row(name, [written(one[name]) if name in one else "-" for one in params])
        for name in sorted(names, key=order.index)
    ]


def _metrics(sides: Sequence[Side]) -> list[Row]:
    """All metrics by protocol and name, and the differences of the ELBO over the same images."""
    from mnist_vae.chart import shown
    from mnist_vae.report import NATS, Metric, listed

    found: list[dict[str, Metric]] = [
        {
            f"{protocol}/{metric.name}": metric
            for protocol, metrics in side.metrics.items()
            for metric in listed(metrics)
        }
        for side in sides
    ]
    names = dict.fromkeys(name for one in found for name in one)
    rows = []
    for name in names:
        cells = [one.get(name) for one in found]
        rows.append(Row(name, cells, next(cell.unit for cell in cells if cell)))
    apart = [_apart(sides[0], side) for side in sides[1:]]
    if any(apart):
        label = f"test ELBO less that of {sides[0].name}, over the same images"
        differences = [
            Metric(label, f"{'+' * (one[0] > 0)}{shown(one[0])}", shown(one[1]), NATS)
            if one
            else None
            for one in apart
        ]
        rows.insert(1, Row(label, [None, *differences], NATS))
    return rows


def _apart(one: Side, other: Side) -> tuple[float, float] | None:
    """Mean and standard error of the ELBO of `other` less that of `one`, image by image, nats.

    None where they were measured on other images or by another protocol, or one of them is gone.
    """
    from safetensors.numpy import load

    same = one.snapshot.protocol == other.snapshot.protocol
    test = {side.snapshot.outputs.get(DATA["test"]) for side in (one, other)}
    contents = [side.content(ARRAYS) for side in (one, other)]
    if not same or len(test) > 1 or not all(contents):
        return None
    first, second = (
        load(content)["elbo_per_image"].astype(float) for content in contents if content
    )
    apart = second - first
    return float(apart.mean()), float(apart.std(ddof=1)) / math.sqrt(len(apart))


def _pictures(sides: Sequence[Side]) -> list[Row]:
    """The pictures that any of the sides has, in the order of the report."""
    from mnist_vae.report import CAPTIONS, picture, place

    paths = {
        Path(path)
        for side in sides
        for path in side.snapshot.outputs
        if path.startswith("plots/") and path.endswith(".png")
    }
    rows = []
    for path in sorted(paths, key=place):
        contents = [side.content(str(path)) for side in sides]
        cells = [picture(path, content) if content else None for content in contents]
        rows.append(Row(CAPTIONS.get(path.stem, path.stem), cells))
    return rows
