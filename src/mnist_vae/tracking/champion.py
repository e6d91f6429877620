"""The best recipe, by a metric that is named; its median seed's model gets the alias `champion`."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_vae.errors import PipelineError
from mnist_vae.experiments import snapshot as snapshots
from mnist_vae.experiments.recipes import Spread
from mnist_vae.experiments.repository import root
from mnist_vae.experiments.snapshot import MODEL
from mnist_vae.tracking import models, runs
from mnist_vae.tracking.faults import errors
from mnist_vae.tracking.store import Store, open_store

if TYPE_CHECKING:
    from mlflow.entities import Run

ALIAS = "champion"
MAXIMISED = ("validation_elbo", "test_elbo", "test_iwae", "test_log_px")
MINIMISED = ("test_distortion",)
BITS = "_bits_per_dimension"  # of a negative log-likelihood


@dataclass(frozen=True)
class Ranked:
    """A recipe: the name of its median seed's run, and the metric over its seeds."""

    run_name: str
    value: Spread


@dataclass(frozen=True)
class Champion:
    """The registered model's name and version, and the recipes that were compared, best first.

    left_out: how many more there are, of fewer seeds.
    """

    model: str
    version: str
    metric: str
    ranking: tuple[Ranked, ...]
    left_out: int

    @property
    def uri(self) -> str:
        """What mlflow.pyfunc.load_model takes."""
        return f"models:/{self.model}@{ALIAS}"


def choose(metric: str | None, seeds: int) -> Champion:
    """Register a model of the recipe that is best by the mean of `metric`, and give it the alias.

    It is that of the median seed, of the worse of two. Recipes of fewer than `seeds` trainings play
    no part; another picture_seed makes no other training. Compared are the finished runs of one
    protocol, named by the metric, on one test set (or validation set, if the metric is of that),
    the one of the workspace's results. Each data set and protocol has a registered model of its
    own. metric: else the ELBO of the validation images, under the workspace's protocol.

    Raises PipelineError if the metric names no protocol or no direction, or no recipe has it from
    so many seeds.
    """
    folder = root()
    workspace = snapshots.load(snapshots.workspace(folder))
    metric = metric or f"{workspace.protocol}/validation_elbo"
    protocol, _, name = metric.partition("/")
    if not name:
        raise PipelineError(
            f"metric {metric} names no protocol: figures of two protocols cannot be compared; "
            f"write for example greyscale/{metric}"
        )
    sign = direction(name)
    split = name.split("_")[0]  # test or validation
    images = f"data/processed/{split}.safetensors"
    if images not in workspace.outputs:
        raise PipelineError(
            f"the workspace has no results, which say on what {split} set to compare: "
            f"{workspace.problem}"
        )
    store = open_store(folder)
    with errors(store.uri):
        found = _candidates(store, metric, f"dvc.md5.{images}", workspace.outputs[images])
        if not found:
            raise PipelineError(f"no finished run has {metric} on the workspace's {split} set")
        groups = [_trainings(group) for group in _by_recipe(found)]
        recipes = [group for group in groups if len(group) >= seeds]
        if not recipes:
            raise PipelineError(
                f"no recipe has {metric} from {seeds} seeds or more; `vae seeds NAME -n {seeds}`"
            )

        for group in recipes:
            group.sort(key=lambda run: sign * run.data.metrics[metric])
        recipes.sort(key=lambda group: -sign * _spread(group, metric).mean)
        model = model_name(workspace.dataset, protocol)
        version = _register(store, model, _median(recipes[0]), metric)
    ranking = tuple(
        Ranked(str(_median(group).info.run_name), _spread(group, metric)) for group in recipes
    )
    return Champion(model, version, metric, ranking, len(groups) - len(recipes))


def _median(ranked: "list[Run]") -> "Run":
    return ranked[(len(ranked) - 1) // 2]


def _spread(group: "list[Run]", metric: str) -> Spread:
    return Spread.of([run.data.metrics[metric] for run in group])


def model_name(dataset: str, protocol: str) -> str:
    """The registered model of a data set and a protocol."""
    return f"vae-{dataset}-{protocol}"


def current(folder: Path, dataset: str, protocol: str) -> "Run":
    """The run of the model with the alias; PipelineError if none has been chosen."""
    store = open_store(folder)
    model = model_name(dataset, protocol)
    with errors(store.uri):
        there = store.client.search_registered_models(f"name = '{model}'")
        version = store.client.get_registered_model(model).aliases.get(ALIAS) if there else None
        if version is None:
            raise PipelineError(
                f"{model} has no {ALIAS}: `vae champion --metric {protocol}/validation_elbo`"
            )
        return store.client.get_run(str(store.client.get_model_version(model, version).run_id))


def direction(name: str) -> int:
    """1 if more is better, -1 if less is; PipelineError if neither can be said of the metric."""
    if not name.endswith("_se") and "_minus_" not in name:  # errors and gaps
        if name.startswith(MINIMISED) or (name.startswith("test_") and name.endswith(BITS)):
            return -1
        if name.startswith(MAXIMISED):
            return 1
    known = ", ".join(MAXIMISED + MINIMISED)
    raise PipelineError(f"{name} does not say which of two models is better; choose from {known}")


def _candidates(store: Store, metric: str, tag: str, md5: str) -> "list[Run]":
    finished = f"attributes.status = 'FINISHED' and tags.`{tag}` = '{md5}'"
    return [
        run
        for run in runs.search(store, finished)
        if metric in run.data.metrics and "dvc.results" in run.data.tags
    ]


def _by_recipe(found: "list[Run]") -> "list[list[Run]]":
    """Runs that differ in their seeds only, together; those that no `rebuild` has tagged, alone."""
    groups: dict[str, list[Run]] = {}
    for run in found:
        groups.setdefault(run.data.tags.get("dvc.recipe", run.info.run_id), []).append(run)
    return list(groups.values())


def _trainings(group: "list[Run]") -> "list[Run]":
    """The oldest run of each: of those with the same seeds, and of those with one model."""
    seen: set[object] = set()
    found = []
    for run in sorted(group, key=lambda run: (run.info.start_time, run.info.run_id)):
        trained = snapshots.training(run.data.params, run.data.tags.get(f"dvc.md5.{MODEL}"))
        if not seen & trained:
            seen |= trained
            found.append(run)
    return found


def _register(store: Store, model: str, run: "Run", metric: str) -> str:
    """The version of the run's model under that name, made if need be, with the alias."""
    client = store.client
    logged = [item for item in models.of_run(store, run.info.run_id) if item.name == "vae"]
    if not logged:
        raise PipelineError(f"the best run, {run.info.run_name}, has no model; `make rebuild`")
    if not client.search_registered_models(f"name = '{model}'"):
        client.create_registered_model(model)
    source = f"models:/{logged[0].model_id}"
    versions = client.search_model_versions(f"name = '{model}'")
    same = [version for version in versions if version.source == source]
    version = str(
        same[0].version
        if same
        else client.create_model_version(
            model, source, run.info.run_id, model_id=logged[0].model_id
        ).version
    )
    client.set_model_version_tag(model, version, "metric", metric)
    client.set_model_version_tag(model, version, "value", str(run.data.metrics[metric]))
    if client.get_registered_model(model).aliases.get(ALIAS) != version:
        client.set_registered_model_alias(model, ALIAS, version)
    return version
