"""Commands about the pipeline's experiments: `python -m mnist_vae --help`."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_vae.errors import run

if TYPE_CHECKING:
    from mnist_vae.experiments.compare import Verdict


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m mnist_vae", description="The pipeline's experiments in MLflow."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    rebuild = commands.add_parser(
        "rebuild", help="make the MLflow store show exactly the experiments of Git and DVC"
    )
    rebuild.add_argument(
        "--prune",
        action="store_true",
        help="remove runs of no experiment in this clone: of any age, and on a server, too",
    )
    run_of = commands.add_parser("run-of", help="the MLflow run of an experiment")
    run_of.add_argument("name", nargs="?", help="experiment or revision; else the workspace")
    champion = commands.add_parser(
        "champion", help="register the best model and give it the alias `champion`"
    )
    champion.add_argument("--metric", required=True, help="for example greyscale/validation_elbo")
    reproduce = commands.add_parser(
        "reproduce",
        help="run an MLflow run, experiment or commit again, from nothing and in its own "
        "environment: identical, within tolerance (exit status 0), or different (1)",
    )
    reproduce.add_argument("name", help="id of an MLflow run, experiment, or revision")
    reproduce.add_argument("--record", action="store_true", help="note the verdict in MLflow")
    verify = commands.add_parser(
        "verify", help="the same; exit status 0 only if all outputs are those of its dvc.lock"
    )
    verify.add_argument("name", nargs="?", default="HEAD", help="experiment or revision; else HEAD")
    commands.add_parser(
        "changes", help="are the outputs in the workspace those of the last commit, byte for byte?"
    )
    commands.add_parser(
        "packages", help="set the versions in packages.yaml to those of requirements.lock"
    )
    plane = commands.add_parser(
        "rate-distortion", help="plot experiments by rate and distortion, and print them as a table"
    )
    plane.add_argument("names", nargs="*", help="experiments or revisions; else all experiments")
    plane.add_argument("--protocol", choices=("greyscale", "binarized"), required=True)
    plane.add_argument("--output", type=_png, default=Path("rate_distortion.png"))
    arguments = parser.parse_args()
    {
        "rebuild": _rebuild,
        "run-of": _run_of,
        "champion": _champion,
        "reproduce": _reproduce,
        "verify": _verify,
        "changes": _changes,
        "packages": _packages,
        "rate-distortion": _rate_distortion,
    }[arguments.command](arguments)


def _png(name: str) -> Path:
    if not name.endswith(".png"):
        raise argparse.ArgumentTypeError(f"{name}: the picture is a PNG, so its name ends in .png")
    return Path(name)


def _rebuild(arguments: argparse.Namespace) -> None:
    from mnist_vae.tracking.rebuild import rebuild

    for line in rebuild(arguments.prune):
        print(line, flush=True)


def _run_of(arguments: argparse.Namespace) -> None:
    from mnist_vae.tracking.track import run_of

    print(*run_of(arguments.name), sep="\n")


def _champion(arguments: argparse.Namespace) -> None:
    from mnist_vae.tracking.champion import choose

    best = choose(arguments.metric)
    print(f"{best.uri} is version {best.version}, from run {best.run_name}")
    print(f"{best.metric} {best.value:.4f}, the best of {best.compared} runs")


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
    run(main)
