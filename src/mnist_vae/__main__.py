"""The command `vae`: what DVC and MLflow lack. `vae --help` lists it."""

import argparse
import os
from dataclasses import asdict
from pathlib import Path

from mnist_vae import comparison, errors, evidence, show, verdicts
from mnist_vae.arguments import EXITS, adder, for_programs, png, say
from mnist_vae.experiments.repository import root
from mnist_vae.experiments.snapshot import PROTOCOLS
from mnist_vae.search import commands as search
from mnist_vae.sweep import commands as sweep


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
        epilog=f"{EXITS}; 130 after Ctrl-C. The same from every folder of the project.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    command = adder(commands, "vae")
    ui = command(
        "ui",
        _ui,
        "MLflow's page of the runs, on this machine until Ctrl-C; or a server's addresses",
        "--port 5001",
    )
    ui.add_argument("--port", type=int, help="else 5000, or another if that is in use")
    ui.add_argument("--no-open", action="store_true", help="open no browser")
    rebuild = command(
        "rebuild",
        _rebuild,
        "make the MLflow store show the experiments of Git and DVC: DVC's experiments, HEAD, and "
        "the tips of branches and tags",
        "--prune",
    )
    rebuild.add_argument(
        "--prune",
        action="store_true",
        help="remove runs of no experiment in this clone: of any age, and on a server, too",
    )
    rebuild.add_argument(
        "--history", action="store_true", help="make runs of older commits' results as well"
    )
    for_programs(rebuild)
    run_of = command("run-of", _run_of, "the MLflow run of an experiment", "latent_dim-16")
    run_of.add_argument("name", nargs="?", help="experiment or revision; else the workspace")
    for_programs(run_of)
    champion = command(
        "champion",
        _champion,
        "register a model of the best recipe, the median seed's, with the alias `champion`",
        "--metric greyscale/validation_elbo --seeds 4",
    )
    champion.add_argument("--metric", help="else the workspace's, as greyscale/validation_elbo")
    champion.add_argument(
        "--seeds", type=int, default=1, help="leave out recipes of fewer seeds; else 1"
    )
    for_programs(champion)
    verdicts.add(command)
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
    plane.add_argument("--protocol", choices=PROTOCOLS, required=True)
    plane.add_argument("--output", type=png, default=Path("rate_distortion.png"))
    for_programs(plane)
    evidence.add(command)
    comparison.add(command)
    record = command(
        "record",
        _record,
        "keep what an experiment came to as a file in records/, for a row of a table",
        "latent-16 latent_dim-16",
    )
    record.add_argument("row", help="a row's name, which records/rows.yaml labels")
    record.add_argument("names", nargs="+", help="experiments or revisions, one for each seed")
    command(
        "results",
        _results,
        "write the tables of README and docs/results.md from the records (`make results`)",
        "",
    )
    search.add(command)
    show.add(command)
    sweep.add(
        commands.add_parser(
            "sweep",
            help="many experiments, on whichever machines a scheduler gives",
            description="Many experiments, on whichever machines a scheduler gives.",
        )
    )
    return parser


def _ui(arguments: argparse.Namespace) -> None:
    from mnist_vae.tracking import ui

    ui.show(arguments.port, browse=not arguments.no_open)


def _rebuild(arguments: argparse.Namespace) -> None:
    from mnist_vae.tracking.rebuild import events

    told = events(arguments.prune, arguments.history)
    if arguments.json:
        say(arguments, [asdict(event) for event in told])
        return
    for event in told:
        print(event, flush=True)


def _run_of(arguments: argparse.Namespace) -> None:
    from mnist_vae.tracking.track import run_of

    run_id, address = run_of(arguments.name)
    say(arguments, {"run_id": run_id, "address": address}, run_id, address)


def _champion(arguments: argparse.Namespace) -> None:
    from mnist_vae.tracking.champion import choose

    best = choose(arguments.metric, arguments.seeds)
    first, *others = best.ranking
    say(
        arguments,
        asdict(best) | {"uri": best.uri},
        f"{best.uri} is version {best.version}, from run {first.run_name}, its recipe's median",
        f"{best.metric} {first.value} over the recipe's seeds, the best of {len(best.ranking)}",
        *(f"  {other.value}  {other.run_name}" for other in others),
        *([f"left out: {best.left_out} of fewer seeds"] if best.left_out else []),
    )


def _packages(_: argparse.Namespace) -> None:
    from mnist_vae import packages

    packages.update()


def _record(arguments: argparse.Namespace) -> None:
    from mnist_vae import records
    from mnist_vae.experiments.repository import Repository

    with Repository(root()) as repository:
        for name in arguments.names:
            made = records.of(repository, name)
            print(records.write(records.FOLDER, arguments.row, made, records.defaults(root())))


def _results(_: argparse.Namespace) -> None:
    from mnist_vae import records

    changed = [str(path) for path in records.update(root())]
    print(*(changed or ["every table was as its records say"]), sep="\n")


def _rate_distortion(arguments: argparse.Namespace) -> None:
    from mnist_vae import figure, params, plots, rate_distortion
    from mnist_vae.experiments.repository import Repository

    with Repository(root()) as repository:
        points = rate_distortion.read(repository, arguments.protocol, arguments.names)
    drawn = rate_distortion.draw(points, arguments.protocol)
    figure.save(drawn, arguments.output, params.load(plots.PlotParams).plot_dpi)
    say(arguments, [asdict(point) for point in points], rate_distortion.table(points))


if __name__ == "__main__":
    program()
