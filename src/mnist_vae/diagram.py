"""Diagrams of the network, drawn from what the weights file says of its layers."""

import json
from dataclasses import dataclass
from math import log2, prod
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from mnist_vae.arrays import read_arrays
from mnist_vae.errors import PipelineError
from mnist_vae.figure import WIDTH, styled

Colours = tuple[str, str]  # fill and outline
Shape = tuple[int, ...]  # (units,), or (channels, height, width)
Point = tuple[float, float]  # inches from the lower left corner of the figure
ENCODER, DECODER = ("#dbe9f6", "#2166ac"), ("#fde3d3", "#c8553d")
LATENT, DATA = ("#e0f0dc", "#3a8a3a"), ("#f2f2f2", "#707070")
TALL, GAP = 0.5, 0.36  # inches: a layer of the vertical diagrams, and the arrow between two


@dataclass(frozen=True)
class Layer:
    """A layer with weights."""

    kind: str
    inputs: Shape
    outputs: Shape
    parameters: int  # weights and biases
    activation: str  # after it; empty if there is none


Layers = tuple[Layer, ...]


@dataclass(frozen=True)
class Network:
    """The layers of encoder and decoder; whether the pixels are continuous Bernoulli; the prior.

    components: of the learned prior, 0 for N(0, I).
    """

    encoder: Layers
    decoder: Layers
    continuous: bool = False
    components: int = 0


def read(path: Path) -> Network:
    """The layers that a weights file names; PipelineError if it is not a model of ours."""
    _, metadata = read_arrays(path)
    try:
        architecture = json.loads(metadata["architecture"])
        if "layers" not in architecture:
            raise PipelineError(f"{path} does not name its layers; run `dvc repro train`")
        parts = architecture["layers"]
        continuous = architecture.get("pixels") == "continuous_bernoulli"
        components = architecture.get("prior_components", 0)
        halves = _layers(parts["encoder"]), _layers(parts["decoder"])
        return Network(*halves, continuous, components)
    except (KeyError, TypeError, ValueError) as error:
        raise PipelineError(f"{path} is not a model of this project ({error})") from None


def _layers(stored: list[dict[str, Any]]) -> Layers:
    shapes = ("inputs", "outputs")
    return tuple(Layer(**layer | {name: tuple(layer[name]) for name in shapes}) for layer in stored)


def parameters(layers: Layers) -> int:
    """The number of weights and biases."""
    return sum(layer.parameters for layer in layers)


def draw(network: Network) -> dict[str, Figure]:
    """All diagrams by name."""
    return {"decoder": decoder(network), "encoder": encoder(network), "vae": vae(network)}


@styled
def encoder(network: Network) -> Figure:
    """From an image down to mean and log-variance of q(z|x), layer by layer."""
    layers = network.encoder
    title = rf"Encoder $q(z|x)$: {parameters(layers):,} parameters"
    figure, axes, y = _stack(title, layers, "image $x$", DATA, ENCODER)
    for x, name in ((2.4, "mean $\\mu$"), (WIDTH - 2.4, r"log-variance $\log\,\sigma^2$")):
        _arrow(axes, (WIDTH / 2, y), (x, y - GAP))
        _box(
            axes,
            (x, y - GAP - TALL / 2),
            (2.7, TALL),
            _shaped(name, layers[-1].outputs[0] // 2),
            LATENT,
        )
    return figure


@styled
def decoder(network: Network) -> Figure:
    """From a latent vector down to the pixels' means, layer by layer."""
    layers = network.decoder
    title = rf"Decoder $p(x|z)$: {parameters(layers):,} parameters"
    figure, axes, y = _stack(title, layers, "latent vector $z$", LATENT, DECODER)
    x, pixels = WIDTH / 2, prod(layers[-1].outputs)
    _arrow(axes, (x, y), (x, y - GAP), f"logits (batch, {pixels})")
    means = "continuous Bernoulli: means" if network.continuous else "sigmoid: pixel probabilities"
    _box(axes, (x, y - GAP - TALL / 2), (2.7, TALL), _shaped(means, pixels), DATA)
    return figure


def _stack(
    title: str, layers: Layers, start: str, outer: Colours, inner: Colours
) -> tuple[Figure, Axes, float]:
    """Draw the input and all layers, with room for one more box; also returns where they end."""
    y = (len(layers) + 2) * (TALL + GAP) - GAP + 0.15
    figure, axes = _canvas(y + 0.45, title)
    x = WIDTH / 2
    _box(axes, (x, y - TALL / 2), (2.7, TALL), start, outer)
    widest = max(
        log2(prod(shape) + 1) for layer in layers for shape in (layer.inputs, layer.outputs)
    )
    for layer in layers:
        y -= TALL
        then = layer.activation and f", {layer.activation}"
        sizes = f"{layer.inputs[0]} → {layer.outputs[0]}"
        text = f"{layer.kind} {sizes}{then}\n{layer.parameters:,} parameters"
        _arrow(axes, (x, y), (x, y - GAP), f"(batch, {', '.join(map(str, layer.inputs))})")
        y -= GAP
        top, bottom = (
            1.3 + 1.3 * log2(prod(shape) + 1) / widest for shape in (layer.inputs, layer.outputs)
        )
        corners = [(x - top, y), (x + top, y), (x + bottom, y - TALL), (x - bottom, y - TALL)]
        _shape(axes, corners, (x, y - TALL / 2), text, inner)
    return figure, axes, y - TALL


@styled
def vae(network: Network) -> Figure:
    """The whole model, from left to right."""
    pixels, latent = prod(network.encoder[0].inputs), network.decoder[0].inputs[0]
    total = parameters(network.encoder) + parameters(network.decoder)
    total += network.components * (2 * latent + 1)
    narrow = 0.16 * (len(network.encoder) + 7) + 0.2
    wide = narrow + 0.9
    figure, axes = _canvas(wide + 1.05, f"Variational autoencoder: {total:,} parameters")
    y = 0.55 + wide / 2
    _box(axes, (0.58, y), (0.96, 0.7), _shaped("image $x$", pixels), DATA)
    _funnel(axes, (1.92, y), (wide, narrow), "Encoder\n$q(z|x)$", network.encoder, ENCODER)
    _box(axes, (3.27, y + 0.5), (0.9, 0.6), _shaped(r"$\mu$", latent), LATENT)
    _box(axes, (3.27, y - 0.5), (0.9, 0.6), _shaped(r"$\log\,\sigma^2$", latent), LATENT)
    _box(
        axes,
        (4.57, y),
        (1.1, 0.7),
        _shaped(r"$z = \mu + \sigma \odot \varepsilon$", latent),
        LATENT,
    )
    _box(axes, (4.57, y - 0.95), (1.1, 0.5), _shaped(r"$\varepsilon \sim N(0, I)$", latent), DATA)
    _funnel(axes, (6.03, y), (narrow, wide), "Decoder\n$p(x|z)$", network.decoder, DECODER)
    means = "continuous\nBernoulli:\nmeans" if network.continuous else "sigmoid:\nprobabilities"
    _box(axes, (7.4, y), (1.0, 0.9), _shaped(means, pixels), DATA)
    for start, end in (
        ((1.06, y), (1.32, y)),
        ((2.52, y + 0.2), (2.82, y + 0.45)),
        ((2.52, y - 0.2), (2.82, y - 0.45)),
        ((3.72, y + 0.45), (4.02, y + 0.2)),
        ((3.72, y - 0.45), (4.02, y - 0.2)),
        ((4.57, y - 0.7), (4.57, y - 0.35)),
        ((5.12, y), (5.43, y)),
        ((6.63, y), (6.9, y)),
    ):
        _arrow(axes, start, end)
    bound = r"ELBO$(x) = \mathrm{E}_{q(z|x)}[\log p(x|z)] - \mathrm{KL}(q(z|x)\,\|\,p(z)),$" + (
        f"   $p(z)$: a mixture of {network.components:,} Gaussians"
        if network.components
        else r"   $p(z) = N(0, I)$"
    )
    axes.text(WIDTH / 2, 0.25, bound, ha="center", va="center")
    return figure


def _funnel(
    axes: Axes,
    centre: Point,
    heights: tuple[float, float],
    title: str,
    layers: Layers,
    colours: Colours,
) -> None:
    """One half of the model, its layers' sizes as a column of numbers."""
    x, y = centre
    left, right = (height / 2 for height in heights)
    corners = [(x - 0.6, y - left), (x - 0.6, y + left), (x + 0.6, y + right), (x + 0.6, y - right)]
    hidden = [
        f"→ {_times(layer.outputs)}" + (f", {layer.activation}" if len(layer.outputs) == 1 else "")
        for layer in layers[:-1]  # a shape of an image leaves no room
    ]
    sizes = [_times(layers[0].inputs), *hidden, f"→ {_times(layers[-1].outputs)}"]
    lines = [title, "", *sizes, "", f"{parameters(layers):,}\nparameters"]
    _shape(axes, corners, centre, "\n".join(lines), colours)


def _times(shape: Shape) -> str:
    return " x ".join(map(str, shape))


def _shaped(name: str, size: int) -> str:
    return f"{name}\n(batch, {size})"


def _canvas(height: float, title: str) -> tuple[Figure, Axes]:
    """A figure, `height` inches high, with axes in inches."""
    figure = Figure(figsize=(WIDTH, height))
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(0, height)
    axes.text(0.1, height - 0.22, title, va="center", size=12)
    return figure, axes


def _shape(axes: Axes, corners: list[Point], centre: Point, text: str, colours: Colours) -> None:
    fill, edge = colours
    axes.add_patch(Polygon(corners, facecolor=fill, edgecolor=edge, joinstyle="round"))
    axes.text(*centre, text, ha="center", va="center", size=9)


def _box(axes: Axes, centre: Point, size: Point, text: str, colours: Colours) -> None:
    (x, y), (right, top) = centre, (size[0] / 2, size[1] / 2)
    corners = [
        (x - right, y - top),
        (x - right, y + top),
        (x + right, y + top),
        (x + right, y - top),
    ]
    _shape(axes, corners, centre, text, colours)


def _arrow(axes: Axes, start: Point, end: Point, label: str = "") -> None:
    """An arrow; its label stands to the right of the middle."""
    style = {"arrowstyle": "-|>", "color": "#404040", "shrinkA": 1, "shrinkB": 1}
    axes.annotate("", end, start, arrowprops=style)
    axes.text(start[0] + 0.12, (start[1] + end[1]) / 2, label, va="center", size=9, color="#404040")
