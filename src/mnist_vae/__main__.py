"""The command `vae`: what DVC and MLflow lack. `vae --help` lists it."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_vae import errors, evidence, show
from mnist_vae.arguments import adder, png
from mnist_vae.experiments.repository import root
from mnist_vae.sweep import commands as sweep

if TYPE_CHECKING:
    from mnist_vae.experiments.compare import Verdict


def main() -> None:
    arguments = _parser().parse_args()
    if arguments.command != "sweep":
        os.chdir(root())  # so that it is the same from every folder
    arguments.function(arguments)


def program() -> None:
    """The installed command's entry point."""
    errors.run(main)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vae",
        description="The pipeline's experiments in MLflow, run again, and on a cluster.",
        epilog="exit status: 0; 1 with one line that says what is wrong; 2 for wrong arguments",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    command = adder(commands, "vae")
    rebuild = command(
        "rebuild",
        _rebuild,
        "make the MLflow store show exactly the experiments of Git and DVC",
        "--prune",
    )
    rebuild.add_argument(
        "--prune",
        action="store_true",
        help="remove runs of no experiment in this clone: of any age, and on a server, too",
    )
    run_of = command("run-of", _run_of, "the MLflow run of an experiment", "latent_dim-16")
    run_of.add_argument("name", nargs="?", help="experiment or revision; else the workspace")
    champion = command(
        "champion",
        _champion,
        "register a model of the best recipe, the median seed's, with the alias `champion`",
        "--metric greyscale/validation_elbo --seeds 4",
    )
    champion.add_argument("--metric", required=True, help="for example greyscale/validation_elbo")
    champion.add_argument(
        "--seeds", type=int, default=1, help="leave out recipes of fewer seeds; else 1"
    )
    reproduce = command(
        "reproduce",
        _reproduce,
        "run an MLflow run, experiment or commit again, from nothing and in its own "
        "environment: identical, within tolerance (exit status 0), or different (1)",
        "HEAD~1 --record",
    )
    reproduce.add_argument("name", help="id of an MLflow run, experiment, or revision")
    reproduce.add_argument("--record", action="store_true", help="note the verdict in MLflow")
    verify = command(
        "verify",
        _verify,
        "the same; exit status 0 only if all outputs are those of its dvc.lock",
        "HEAD",
    )
    verify.add_argument("name", nargs="?", default="HEAD", help="experiment or revision; else HEAD")
    command(
        "changes",
        _changes,
        "are the outputs in the workspace those of the last commit, byte for byte?",
        "",
    )
    command(
        "packages",
        _packages,
        "set the versions in packages.yaml to those of requirements.lock (`make lock`)",
        "",
    )
    plane = command(
        "rate-distortion",
        _rate_distortion,
        "plot experiments by rate and distortion, and print them as a table",
        "--protocol greyscale",
    )
    plane.add_argument("names", nargs="*", help="experiments or revisions; else all experiments")
    plane.add_argument(
        "--protocol", choices=("greyscale", "binarized", "continuous_bernoulli"), required=True
    )
    plane.add_argument("--output", type=png, default=Path("rate_distortion.png"))
    evidence.add(command)
    show.add(command)
    sweep.add(
        commands.add_parser(
            "sweep",
            help="many experiments, on whichever machines a scheduler gives",
            description="Many experiments, on whichever machines a scheduler gives.",
        )
    )
    return parser


def _rebuild(arguments: argparse.Namespace) -> None:
    from mnist_vae.tracking.rebuild import rebuild

    for line in rebuild(arguments.prune):
        print(line, flush=True)


def _run_of(arguments: argparse.Namespace) -> None:
    from mnist_vae.tracking.track import run_of

    print(*run_of(arguments.name), sep="\n")


def _champion(arguments: argparse.Namespace) -> None:
    from mnist_vae.tracking.champion import choose

    best = choose(arguments.metric, arguments.seeds)
    print(f"{best.uri} is version {best.version}, from run {best.run_name}, its recipe's median")
    print(f"{best.metric} {best.value} over the recipe's seeds, the best of {best.compared}")


def _verify(arguments: argparse.Namespace) -> None:
    from mnist_vae.reproduce import reproduce

    verdict = reproduce(Path.cwd(), arguments.name).verdict
    print(_told(verdict, arguments.name))
    sys.exit(1 if verdict.differences else 0)


def _reproduce(arguments: argparse.Namespace) -> None:
    from mnist_vae.experiments.repository import root
    from mnist_vae.reproduce import explain, reproduce
    from mnist_vae.tracking import reproduced
    from mnist_vae.tracking.store import StoreError

    folder = root()
    rerun = reproduce(folder, reproduced.revision(folder, arguments.name))
    told, run = [_told(rerun.verdict, arguments.name)], None
    try:
        store, run = reproduced.of(folder, rerun)
        if run and rerun.verdict.differences:
            told += explain(run.data.tags, rerun.environment) or ["no env.* of the run differs"]
        if run and arguments.record:
            reproduced.record(store, run, rerun)
            told.append(f"noted in run {run.info.run_name}")
        elif arguments.record:
            told.append("not noted: the store has no run of it; `make rebuild` makes it")
    except StoreError as error:
        told.append(f"not noted: {error}" if arguments.record else f"warning: {error}")
    print(*told, sep="\n  ")
    sys.exit(1 if rerun.verdict.kind == "different" else 0)


def _told(verdict: "Verdict", name: str) -> str:
    """A verdict for people: one line, and one for each difference and metric."""
    if not verdict.differences:
        return f"identical: all {verdict.compared} outputs of {name}, byte for byte"
    lines = [
        f"{verdict.kind}: {len(verdict.differences)} of {verdict.compared} outputs of {name} "
        f"differ; the first is {verdict.differences[0]}",
        *map(str, verdict.differences[1:]),
        *verdict.reasons,
    ]
    return "\n  ".join(lines)


def _changes(_: argparse.Namespace) -> None:
    from mnist_vae.experiments import compare
    from mnist_vae.experiments.repository import root

    verdict = compare.workspace(root())
    print(_told(verdict, "the commit"))
    sys.exit(1 if verdict.differences else 0)


def _packages(_: argparse.Namespace) -> None:
    from mnist_vae import packages

    packages.update()


def _rate_distortion(arguments: argparse.Namespace) -> None:
    from mnist_vae import figure, params, plots, rate_distortion
    from mnist_vae.experiments.repository import Repository, root

    with Repository(root()) as repository:
        points = rate_distortion.read(repository, arguments.protocol, arguments.names)
    drawn = rate_distortion.draw(points, arguments.protocol)
    figure.save(drawn, arguments.output, params.load(plots.PlotParams).plot_dpi)
    print(rate_distortion.table(points))


if __name__ == "__main__":
    program()
