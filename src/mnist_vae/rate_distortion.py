"""Rate against distortion of DVC experiments (Alemi et al. 2018), read from their commits."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from mnist_vae.errors import PipelineError
from mnist_vae.experiments.repository import Repository
from mnist_vae.figure import BLUE, GREY, WIDTH, styled
from mnist_vae.params import parse

METRICS = "metrics/evaluation.json"


@dataclass(frozen=True)
class Point:
    """An experiment's place in the plane, nats per image on the test set."""

    name: str
    latent_dim: int
    rate: float
    distortion: float
    elbo: float
    elbo_se: float


def read(repository: Repository, protocol: str, names: Sequence[str]) -> list[Point]:
    """The experiments of these names, or all that have the protocol's, by latent_dim and name.

    Raises PipelineError if a name or its metrics are missing, or if there is no experiment at all.
    """
    commits = [(name, repository.resolve(name)) for name in names] or [
        (experiment.name, experiment.commit) for experiment in repository.experiments
    ]
    points = []
    for name, commit in commits:
        if not commit:
            raise PipelineError(f"there is no experiment {name}; `dvc exp list --all` names them")
        try:
            params = parse(repository.read(commit, "params.yaml") or b"{}", "params.yaml")
            metrics = json.loads(repository.read(commit, METRICS) or "{}")[protocol]
            figures = (metrics[f"test_{key}"] for key in ("rate", "distortion", "elbo", "elbo_se"))
            points.append(Point(name, params["latent_dim"], *figures))
        except (PipelineError, ValueError, KeyError, TypeError) as error:  # another layout
            if names:
                raise PipelineError(
                    f"experiment {name} has no {protocol} metrics, or no latent_dim ({error})"
                ) from None
    if not points:
        raise PipelineError(
            f"no experiment has {protocol} metrics; run some: "
            "dvc exp run --queue -S 'latent_dim=2,4,8,16,32', then dvc queue start"
        )
    return sorted(points, key=lambda point: (point.latent_dim, point.name))


def table(points: Sequence[Point]) -> str:
    """The points as a Markdown table."""
    rows = [
        f"| {point.name} | {point.latent_dim} | {point.rate:.2f} | {point.distortion:.2f} "
        f"| {point.elbo:.2f} ± {point.elbo_se:.2f} |"
        for point in points
    ]
    head = ["| experiment | latent_dim | rate | distortion | ELBO |", "|---|---|---|---|---|"]
    return "\n".join(head + rows)


@styled
def draw(points: Sequence[Point], protocol: str) -> Figure:
    """Points with their latent_dim; along a dashed line the ELBO is the same."""
    figure = Figure(figsize=(WIDTH, 5))
    axes = figure.add_subplot()
    for point in points:
        axes.axline((point.rate, point.distortion), slope=-1, color=GREY, lw=0.6, ls="--", zorder=1)
    rates, distortions = [p.rate for p in points], [p.distortion for p in points]
    axes.plot(rates, distortions, "o", color=BLUE)
    for index, point in enumerate(points):
        axes.annotate(
            f"{point.latent_dim}",
            (point.rate, point.distortion),
            textcoords="offset points",
            xytext=(-5, -14) if index % 2 else (6, 4),  # neighbours can be close
            ha="right" if index % 2 else "left",
        )
    axes.margins(0.15)
    axes.set_xlabel("rate: KL (nats per image)")
    axes.set_ylabel("distortion (nats per image)")
    axes.set_title(f"Test set, {protocol}: a point's number is its latent_dim, dashed: equal ELBO")
    return figure
