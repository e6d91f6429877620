"""`vae search`: the arguments, and what is printed."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnist_vae import params
from mnist_vae.arguments import Add, png
from mnist_vae.errors import PipelineError
from mnist_vae.experiments import snapshot as snapshots
from mnist_vae.experiments.repository import Repository, root
from mnist_vae.search import study

if TYPE_CHECKING:
    from mnist_vae.search.trials import Trial
    from mnist_vae.search.work import Search

_BEST = 10  # rows of the table


def add(command: Add) -> None:
    """Add the command to those of `vae`."""
    search = command(
        "search",
        _search,
        "find parameters with Optuna: trials are experiments, in the space that a file describes",
        "space.yaml --trials 40",
    )
    search.add_argument(
        "space", type=_path, help="learning_rate: {low: 1e-4, high: 1e-2, log: true}"
    )
    search.add_argument(
        "--trials", type=int, required=True, help="so many shall there be, those there are counted"
    )
    search.add_argument("--metric", help="a validation figure; else PROTOCOL/validation_elbo")
    search.add_argument("--sampler", choices=study.SAMPLERS, default="tpe", help="else tpe")
    search.add_argument(
        "--pruner",
        choices=study.PRUNERS,
        default="none",
        help="median: stop a trial that is worse than half of the others after its epoch",
    )
    search.add_argument("--output", type=png, default=Path("search.png"), help="a picture (PNG)")


def _path(name: str) -> Path:
    """A path as it is meant where the command is typed."""
    return Path(name).resolve()


def _search(arguments: argparse.Namespace) -> None:
    from mnist_vae.search import work

    search = _checked(arguments)
    work.run(search, arguments.trials, lambda line: print(line, flush=True))
    found = search.trials()
    print(*_table(search, found), sep="\n")
    if any(trial.state == "done" for trial in found):
        _draw(search, found, arguments.output)
        print(f"picture: {arguments.output}")


def _checked(arguments: argparse.Namespace) -> "Search":
    """What is wanted, if nothing speaks against it: no work has been done then."""
    from mnist_vae.search import space as spaces
    from mnist_vae.search import trials, work

    study.load()
    folder = root()
    base = params.check()
    space = spaces.read(arguments.space, base, snapshots.workspace(folder))
    whole = {**base, **space.others}
    metric = trials.metric_of(arguments.metric, whole["likelihood"])
    if arguments.trials < 0:
        raise PipelineError(f"--trials is {arguments.trials}; it must be 0 or more")
    if arguments.pruner != "none" and metric != "validation_elbo":
        raise PipelineError(
            f"--pruner {arguments.pruner} watches validation_elbo, which training tells after each "
            f"epoch; the metric is {metric}: leave it out"
        )
    if arguments.pruner != "none" and "epochs" in space.varied:
        raise PipelineError(
            f"--pruner {arguments.pruner} compares trials after the same epoch, which is another "
            "part of a schedule of other epochs: leave it out, or epochs of the space"
        )
    with Repository(folder) as repository:
        head = repository.commit("HEAD")
        if not head:
            raise PipelineError("there is no commit yet, and a search runs one: `git commit` first")
        if edited := repository.edited():
            raise PipelineError(
                f"{edited[0]} differs from HEAD, which is what a search runs: commit first"
            )
    startup = min(10, arguments.trials // 4)
    method = study.Method(arguments.sampler, arguments.pruner, startup, whole["epochs"] // 3)
    return work.Search(folder, head, space, metric, method)


def _table(search: "Search", found: "Sequence[Trial]") -> Iterator[str]:
    """The best trials with their parameters, and how many there are of each kind."""
    counts = {
        state: sum(trial.state == state for trial in found)
        for state in ("done", "pruned", "failed")
    }
    keys = list(search.space.varied)
    rows = [[search.metric, *keys, "experiment"]]
    for trial in _ranked(search, found)[:_BEST]:
        rows.append(
            [f"{trial.value:.3f}", *(_text(trial.values[key]) for key in keys), trial.experiment]
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=False)]
        yield "  ".join([*cells, row[-1]])
    told = ", ".join(f"{count} {state}" for state, count in counts.items())
    yield f"{len(found)} trials on {search.head[:7]}: {told}"
    for trial in found:
        if trial.state == "failed":
            yield f"  {trial.experiment} failed: {trial.detail}"


def _ranked(search: "Search", found: "Sequence[Trial]") -> "list[Trial]":
    """Those that are done, the best first."""
    from mnist_vae.search.trials import METRICS

    sign = -1 if METRICS[search.metric] == "maximize" else 1
    done = [trial for trial in found if trial.state == "done"]
    return sorted(done, key=lambda trial: (sign * trial.value, trial.experiment))


def _text(value: Any) -> str:
    return "x".join(map(str, value)) if isinstance(value, list) else str(value)


def _draw(search: "Search", found: "Sequence[Trial]", path: Path) -> None:
    from mnist_vae import figure, plots
    from mnist_vae.search import picture

    pruned = [trial for trial in found if trial.state == "pruned"]
    drawn = picture.draw(search.space, _ranked(search, found), search.metric, pruned)
    figure.save(drawn, path, params.load(plots.PlotParams).plot_dpi)
