"""`vae compare` and `vae seeds`: recipes, not runs, with the error that seeds and images leave."""

import argparse
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_vae import params, programs
from mnist_vae.arguments import Add, for_programs, png
from mnist_vae.errors import PipelineError
from mnist_vae.experiments import outputs
from mnist_vae.experiments import snapshot as snapshots
from mnist_vae.experiments.repository import Repository, root
from mnist_vae.experiments.snapshot import DATA
from mnist_vae.sweep.points import name_of

if TYPE_CHECKING:
    from mnist_vae.experiments.recipes import Paired, Recipe

Rows = list[tuple[str, list[str]]]


def add(command: Add) -> None:
    """Add the commands to those of `vae`."""
    seeds = command(
        "seeds",
        _seeds,
        "mean ± standard deviation of a recipe's metrics over its seeds; queues those it lacks",
        "latent_dim-16 -n 4",
    )
    seeds.add_argument("name", nargs="?", default="HEAD", help="experiment or revision; else HEAD")
    seeds.add_argument("-n", type=int, default=1, help="how many seeds there shall be")
    for_programs(seeds)
    compare = command(
        "compare",
        _compare,
        "recipes by their metrics over seeds; of two, the difference image by image",
        "HEAD latent_dim-16 --output compare.png",
    )
    compare.add_argument(
        "names", nargs="+", help="experiments, revisions or tags dvc.recipe, each for its recipe"
    )
    form = compare.add_mutually_exclusive_group()
    for_programs(form)
    form.add_argument("--markdown", action="store_true", help="for documents")
    compare.add_argument("--output", type=png, help="of two: a picture (PNG) by class and image")


def _compare(arguments: argparse.Namespace) -> None:
    from mnist_vae.experiments import recipes

    with Repository(root()) as repository:
        found = recipes.find_each(repository, arguments.names)
        recipes.check_comparable(found)
        if arguments.markdown:
            head = [("metric", arguments.names), ("---", ["--:"] * len(found))]
            table = (f"| {name} | {' | '.join(cells)} |" for name, cells in head + _rows(found))
            print(*table, "", sep="\n")
        elif not arguments.json:
            print(*_table(arguments.names, _rows(found)), sep="\n", flush=True)
        # What single images have must be in the cache; the table says something without it.
        two = recipes.paired(repository, *found) if len(found) == 2 else None
        if arguments.output:
            _draw(repository, found, two, arguments.output)
    if arguments.json:
        print(json.dumps(_plain(found, two), indent=2))
    elif two:
        print(_told(two, found))


def _seeds(arguments: argparse.Namespace) -> None:
    from mnist_vae.experiments import recipes

    if arguments.n < 1:
        raise PipelineError(f"-n is {arguments.n}; it must be at least 1")
    with Repository(root()) as repository:
        found = recipes.find(repository, arguments.name)
        lacking = list(itertools.islice(_missing(found), arguments.n))
        lacking = lacking[: max(0, arguments.n - len(found.members))]
        queued = _queue(repository, found, lacking)
    if arguments.json:
        print(json.dumps(_plain([found], None) | {"queued": queued}, indent=2))
        return
    print(*_table([arguments.name], _rows([found])), sep="\n")
    if lacking:
        again = f"vae seeds {arguments.name} -n {arguments.n}"
        print(
            f"{len(found.members)} of {arguments.n} seeds are there; in DVC's queue: "
            f"{', '.join(queued)}\n`dvc queue start` runs them in the background, `dvc queue "
            f"status` says how far they are, and then `{again}` gives mean and deviation"
        )


def _missing(recipe: "Recipe") -> Iterator[int]:
    """Seeds that the recipe has no experiment of, from 0."""
    there = {member.snapshot.params.get("seed") for member in recipe.members}
    return (seed for seed in itertools.count() if seed not in there)


def _queue(repository: Repository, recipe: "Recipe", seeds: Sequence[int]) -> list[str]:
    """Queue experiments of the recipe, but for those that are queued already; their names.

    Raises PipelineError if the workspace has other code than the recipe.
    """
    if not seeds:
        return []
    wanted, folder = recipe.members[0].snapshot, repository.folder
    here = snapshots.load_inputs(snapshots.workspace(folder))
    committed = repository.read("HEAD", str(params.PARAMS)) or b""
    head = params.parse(committed, f"HEAD:{params.PARAMS}")
    if here.code != wanted.code:
        raise PipelineError(
            f"{recipe.name} has other code or packages than the workspace; `git checkout` its "
            "commit (an experiment's baseline), and run this there"
        )
    folders = {one.params.get("data_folder") for one in (here, wanted)}
    if len(folders) == 1 and here.data and wanted.data and here.data != wanted.data:
        raise PipelineError(f"{recipe.name} was made from other images in {folders.pop()}")
    env = programs.settings()
    listed = programs.run(["dvc", "queue", "status"], folder, env).splitlines()
    waiting = {line.split()[1] for line in listed if line.endswith(("Queued", "Running"))}
    names = []
    for seed in seeds:
        point = wanted.params | {"seed": seed}
        name = name_of(snapshots.difference(point, head))  # whatever the workspace has
        changes = snapshots.difference(point, here.params)
        names.append(name)
        if name in waiting:
            continue
        command = ["dvc", "exp", "run", "--queue", "--name", name]
        for key, value in changes.items():
            command += ["--set-param", f"{key}={json.dumps(value)}"]
        programs.run(command, folder, env)
    return names


def _rows(found: Sequence["Recipe"]) -> Rows:
    """Metric -> its spread in each recipe, in the first one's order."""
    names = dict.fromkeys(
        name for recipe in found for member in recipe.members for name in member.metrics
    )
    return [(name, [str(recipe.spread(name) or "-") for recipe in found]) for name in names]


def _table(names: Sequence[str], rows: Rows) -> Iterator[str]:
    """The rows in columns."""
    whole = [("", list(names)), *rows]
    first = max(len(name) for name, _ in whole)
    widths = [max(len(cells[column]) for _, cells in whole) for column in range(len(names))]
    for name, cells in whole:
        shown = (cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
        yield "  ".join([name.ljust(first), *shown])


def _told(two: "Paired", found: Sequence["Recipe"]) -> str:
    over = f"the same {two.pairs} seed{'s' * (two.pairs != 1)}" if two.pairs else "no common seed"
    by_seeds = "unknown" if two.by_seeds is None else f"{two.by_seeds:.2g}"
    return (
        f"test ELBO of {found[0].name} less {found[1].name}, over the same "
        f"{len(two.per_image):,} images and {over}: {two.difference:+.3f} ± {two.error:.2g} nats "
        f"(standard error; by images {two.by_images:.2g}, by seeds {by_seeds})"
    )


def _plain(found: Sequence["Recipe"], two: "Paired | None") -> dict[str, object]:
    """Everything for programs; sd: null with a single seed."""
    shown: dict[str, object] = {
        "recipes": [
            {
                "name": recipe.name,
                "experiments": [member.name for member in recipe.members],
                "metrics": {
                    name: {"mean": spread.mean, "sd": spread.deviation, "n": spread.n}
                    for name, _ in _rows([recipe])
                    if (spread := recipe.spread(name))
                },
            }
            for recipe in found
        ]
    }
    if two:
        shown["test_elbo_difference"] = {
            "mean": two.difference,
            "se": two.error,
            "se_by_images": two.by_images,
            "se_by_seeds": two.by_seeds,
            "images": len(two.per_image),
            "pairs_of_seeds": two.pairs,
        }
    return shown


def _draw(
    repository: Repository, found: Sequence["Recipe"], two: "Paired | None", path: Path
) -> None:
    from mnist_vae import difference, evaluated, figure, images, params, plots
    from mnist_vae.arrays import read_arrays

    if two is None:
        raise PipelineError("--output draws the difference of two recipes; name two")
    md5 = found[0].members[0].snapshot.outputs[DATA["test"]]
    data = outputs.cached(repository.folder, md5)
    if data is None:
        raise PipelineError(f"{DATA['test']} is not in the DVC cache: `dvc pull {DATA['test']}`")
    arrays, metadata = read_arrays(data)
    look = images.look(metadata)
    shown = evaluated.as_shown(arrays["images"] / 255, look)
    names = found[0].name, found[1].name
    drawn = difference.draw(two.per_image, two.labels, shown, names, look.classes)
    figure.save(drawn, path, params.load(plots.PlotParams).plot_dpi)
