"""`vae sample`, `decode`, `interpolate`, `encode`: what a trained model does, in pictures."""

import argparse
import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_vae import arithmetic, images, params, trained
from mnist_vae.arguments import Add, png
from mnist_vae.errors import PipelineError
from mnist_vae.experiments.repository import root
from mnist_vae.images import Look

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mnist_vae.model import VAE
    from mnist_vae.trained import Trained

MOST = 400  # images in one picture
STEPS = 20  # ... and between two images


def add(command: Add) -> None:
    """Add the commands to those of `vae`."""
    sample = command(
        "sample",
        _sample,
        "images decoded from draws of the prior",
        "-n 40 --of latent_dim-16",
    )
    sample.add_argument("-n", type=int, default=100, help="how many images; else 100")
    decode = command("decode", _decode, "the image at a place of the latent space", "0.3 -1.2")
    decode.add_argument("z", nargs="+", type=float, help="a coordinate for each latent unit")
    interpolate = command(
        "interpolate",
        _interpolate,
        "images on the way from one test image to another, through the latent space",
        "--classes 4 9",
    )
    interpolate.add_argument(
        "images", nargs="*", type=int, help="two test images by index, from 0; else two by chance"
    )
    interpolate.add_argument(
        "--classes", nargs=2, metavar="CLASS", help="an image of each, by chance"
    )
    interpolate.add_argument("-n", type=int, default=10, help="how many images; else 10")
    encode = command(
        "encode",
        _encode,
        "a picture's latent means and standard deviations, its ELBO and its reconstruction",
        "digit.png --invert",
    )
    encode.add_argument(
        "file",
        type=_path,
        help="a picture like those that the model knows; of digits, light on dark",
    )
    encode.add_argument(
        "--invert", action="store_true", help="turn dark into light and light into dark first"
    )
    for added in (sample, decode, interpolate, encode):
        name = added.prog.split()[-1]
        added.add_argument(
            "--of", metavar="NAME", help="experiment, revision or `champion`; else the workspace"
        )
        if added is not decode:
            added.add_argument("--seed", type=int, default=0, help="of what is drawn; else 0")
        added.add_argument("--output", type=png, default=f"{name}.png", help=f"else {name}.png")


def _path(name: str) -> Path:
    return Path(name).resolve()


def _sample(arguments: argparse.Namespace) -> None:
    _check("-n", arguments.n, 1, MOST)
    found, model = _load(arguments)
    from mnist_vae import draw

    drawn = draw.sample(model, arguments.n, arguments.seed, _look(found))
    _save(drawn, found, model, arguments.output)


def _decode(arguments: argparse.Namespace) -> None:
    found, model = _load(arguments)
    from mnist_vae import draw

    _save(draw.decode(model, arguments.z, _look(found)), found, model, arguments.output)


def _interpolate(arguments: argparse.Namespace) -> None:
    _check("-n", arguments.n, 2, STEPS)
    if len(arguments.images) not in (0, 2) or (arguments.images and arguments.classes):
        raise PipelineError("name two test images, or two --classes, or nothing")
    found, model = _load(arguments)
    import torch

    from mnist_vae import draw
    from mnist_vae.arrays import read_arrays

    arrays, metadata = read_arrays(found.test_set)
    look = images.look(metadata)
    labels, count = arrays.get("labels"), len(arrays["images"])
    for index in arguments.images:
        _check("a test image's index", index, 0, count - 1)
    pair = tuple(arguments.images) or draw.choose(
        count, labels, arguments.classes, arguments.seed, look
    )
    binarized = found.likelihood == "binarized"
    chosen = arrays["binarized"] if binarized else arrays["images"] / 255
    ends = torch.tensor(chosen[list(pair)], dtype=torch.float32)
    first, last = (
        f"test image {index}{'' if labels is None else f' ({look.classes[labels[index]]})'}"
        for index in pair
    )
    drawn = draw.interpolate(model, ends, arguments.n, (first, last), look)
    _save(drawn, found, model, arguments.output)


def _encode(arguments: argparse.Namespace) -> None:
    found, model = _load(arguments)
    import torch

    from mnist_vae import draw, png
    from mnist_vae.evaluation import EvaluationParams

    look = _look(found)
    pixels, notes = png.read(arguments.file, math.isqrt(model.size), arguments.invert, look.ink)
    print(*notes, sep="\n", end="\n" * bool(notes))
    samples = params.load(EvaluationParams).elbo_samples
    intensities = torch.tensor(pixels / 255, dtype=torch.float32)
    made = draw.encode(model, intensities, found.likelihood, samples, arguments.seed, look)
    print("unit      mean  deviation  KL (nats)")
    for unit, row in enumerate(zip(made.mean, made.deviation, made.kl, strict=True), 1):
        print(f"{unit:4d}  {row[0]:+8.3f}  {row[1]:9.3f}  {row[2]:9.2f}")
    if model.params.prior_components:
        print("KL: to the learned prior's mean and variance; the units do not add up to the rate")
    print(
        f"ELBO {made.elbo:.2f} nats ({found.likelihood}): rate {made.rate:.2f}, distortion "
        f"{made.distortion:.2f} by {samples} draws"
    )
    _save(made.figure, found, model, arguments.output)


def _check(what: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise PipelineError(f"{what} is {value}; it must be from {least} to {most}")


def _load(arguments: argparse.Namespace) -> "tuple[Trained, VAE]":
    """The model that is asked for, on the CPU, in the arithmetic of params.yaml."""
    values = params.check()
    arithmetic.prepare(params.select(arithmetic.ArithmeticParams, values))
    from mnist_vae import model, runtime

    machine = params.select(runtime.RuntimeParams, values)
    runtime.prepare(dataclasses.replace(machine, device="cpu"))
    found = trained.find(root(), arguments.of, values)
    return found, model.load(found.weights)


def _look(found: "Trained") -> Look:
    """How its images look: of own images, what their test set says."""
    from mnist_vae.arrays import read_arrays
    from mnist_vae.download import OWN

    if found.dataset != OWN:  # so that no test set is needed, which a pull may have left out
        return images.DIGITS
    return images.look(read_arrays(found.test_set)[1])


def _save(drawn: "Figure", found: "Trained", model: "VAE", path: Path) -> None:
    """Write the picture with its model's name, and show it where the terminal can."""
    from mnist_vae import figure, plots
    from mnist_vae.png import inline

    text = f"{found.name}, latent_dim {model.params.latent_dim}"
    drawn = figure.captioned(drawn, figure.shortened(text, 100))
    figure.save(drawn, path, params.load(plots.PlotParams).plot_dpi)
    if shown := inline(path.read_bytes()):
        print(shown)
    print(path)
