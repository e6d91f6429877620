"""Commands about the pipeline's experiments: `python -m mnist_vae --help`."""

import argparse
from pathlib import Path

from mnist_vae.errors import PipelineError, run


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
        help="on a server, too, remove runs whose experiment this clone does not have",
    )
    run_of = commands.add_parser("run-of", help="the MLflow run of an experiment")
    run_of.add_argument("name", nargs="?", help="experiment or revision; else the workspace")
    champion = commands.add_parser(
        "champion", help="register the best model and give it the alias `champion`"
    )
    champion.add_argument("--metric", required=True, help="for example greyscale/validation_elbo")
    verify = commands.add_parser(
        "verify", help="run a commit or experiment from nothing and compare it with its dvc.lock"
    )
    verify.add_argument("name", nargs="?", default="HEAD", help="experiment or revision; else HEAD")
    commands.add_parser(
        "changes", help="are the outputs in the workspace those of the last commit, byte for byte?"
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
        "verify": _verify,
        "changes": _changes,
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
    from mnist_vae.verify import verify

    compared, differences = verify(Path.cwd(), arguments.name)
    if not differences:
        print(f"identical: all {compared} outputs of {arguments.name}, byte for byte")
        return
    lines = [f"{d.path} of stage {d.stage}: {d.detail}" for d in differences]
    raise PipelineError(
        f"{len(lines)} of {compared} outputs differ; the first is " + "\n  ".join(lines)
    )


def _changes(_: argparse.Namespace) -> None:
    from mnist_vae.experiments.repository import root
    from mnist_vae.verify import changes

    compared, differences = changes(root())
    if not differences:
        print(f"all {compared} outputs are those of the commit, byte for byte")
        return
    print(f"{len(differences)} of {compared} outputs are not those of the commit:")
    for d in differences:
        print(f"  {d.path} of stage {d.stage}: {d.detail}")


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
