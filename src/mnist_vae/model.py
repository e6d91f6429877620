"""The VAE: an encoder to a diagonal Gaussian and its mirror as decoder to the pixels' logits."""

import json
import math
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from mnist_vae import pixels, prior
from mnist_vae.arrays import read_arrays, write_arrays
from mnist_vae.errors import PipelineError
from mnist_vae.images import SIDE
from mnist_vae.layers import ACTIVATIONS, Shift, describe
from mnist_vae.linear import Linear
from mnist_vae.pixels import BERNOULLI, Pixels


@dataclass(frozen=True)
class ModelParams:
    """The architecture; stored with the weights, so that a model loads without params.yaml."""

    latent_dim: int
    hidden_sizes: tuple[int, ...]
    activation: str
    architecture: str
    prior_components: int


class VAE(nn.Module):
    """q(z|x) = N(mean(x), diag(exp(log_variance(x)))); p(z) by `prior`, p(x|z) by `pixels`."""

    def __init__(self, params: ModelParams, side: int = SIDE, pixels: Pixels = BERNOULLI) -> None:
        """side: of an image, in pixels; pixels: their distribution."""
        super().__init__()
        self.params = params
        self.size = side * side
        self.pixels = pixels
        build = {"mlp": _mlp, "conv": _conv}[params.architecture]
        self.encoder, self.decoder = build(params, side)
        self.prior = prior.of(params.latent_dim, params.prior_components)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Images (..., 784) in [0, 1] -> mean and log-variance of q(z|x), each (..., L)."""
        output = self.encoder(x.reshape(-1, self.size)).reshape(*x.shape[:-1], -1)
        mean, log_variance = output.chunk(2, dim=-1)
        return mean, log_variance

    def decode(self, z: Tensor) -> Tensor:
        """Latent vectors (..., L) -> logits of the pixels (..., 784)."""
        logits: Tensor = self.decoder(z.reshape(-1, z.shape[-1]))
        return logits.reshape(*z.shape[:-1], self.size)

    def means(self, z: Tensor) -> Tensor:
        """Latent vectors (..., L) -> means of the pixels (..., 784)."""
        return self.pixels.mean(self.decode(z))

    def input_layer(self) -> list[nn.Parameter]:
        """Weights of the layer that sees the pixels."""
        return list(_weighted(self.encoder)[0].parameters())

    def output_layer(self) -> list[nn.Parameter]:
        """Weights of the layer that makes the logits, with their bias."""
        layers = list(self.decoder)
        last = layers.index(_weighted(self.decoder)[-1])
        return [weight for layer in layers[last:] for weight in layer.parameters()]

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct: images (..., 784) -> means of the pixels (..., 784) at q(z|x)'s mean."""
        return self.means(self.encode(x)[0])


class Decoder(nn.Module):
    """A model's half from latent vectors (N, L) to the means of the pixels (N, 784)."""

    def __init__(self, model: VAE) -> None:
        super().__init__()
        self.layers, self.pixels = model.decoder, model.pixels

    def forward(self, z: Tensor) -> Tensor:
        """As `VAE.means`."""
        return self.pixels.mean(self.layers(z))


def _weighted(layers: nn.Sequential) -> list[nn.Module]:
    """The layers that have weights, without activations, shapes and the bias of the pixels."""
    return [layer for layer in layers if hasattr(layer, "weight")]


def _mlp(params: ModelParams, side: int) -> tuple[nn.Sequential, nn.Sequential]:
    """Fully connected layers of `hidden_sizes` units."""
    sizes, activation = params.hidden_sizes, ACTIVATIONS[params.activation]
    encoder = _linear((side * side, *sizes, 2 * params.latent_dim), activation)
    decoder = _linear((params.latent_dim, *sizes[::-1], side * side), activation)
    return nn.Sequential(*encoder), nn.Sequential(*decoder)


def _conv(params: ModelParams, side: int) -> tuple[nn.Sequential, nn.Sequential]:
    """Two convolutions of stride 2 (28 -> 14 -> 7 pixels a side), then fully connected layers.

    The first two `hidden_sizes` are the convolutions' channels, the others units. Kernels of 4
    pixels, a multiple of the stride: the decoder's overlap evenly (Odena et al. 2016). Where a side
    is odd, the decoder's last row and column are added (`output_padding`).
    """
    if len(params.hidden_sizes) < 2:
        raise PipelineError(
            f"hidden_sizes is {list(params.hidden_sizes)}, but architecture conv needs at least "
            "two: the channels of its two convolutions, then units of fully connected layers"
        )
    wide, deep, *units = params.hidden_sizes
    activation = ACTIVATIONS[params.activation]
    half, small = side // 2, side // 4
    flat = deep * small**2
    # Conv2d(inputs, outputs, kernel, stride, padding), ConvTranspose2d(..., output_padding)
    encoder = [
        nn.Unflatten(-1, (1, side, side)),
        nn.Conv2d(1, wide, 4, 2, 1),
        activation(),
        nn.Conv2d(wide, deep, 4, 2, 1),
        activation(),
        nn.Flatten(),
        *_linear((flat, *units, 2 * params.latent_dim), activation),
    ]
    decoder = [
        *_linear((params.latent_dim, *units[::-1], flat), activation),
        activation(),
        nn.Unflatten(-1, (deep, small, small)),
        nn.ConvTranspose2d(deep, wide, 4, 2, 1, half % 2),
        activation(),
        nn.ConvTranspose2d(wide, 1, 4, 2, 1, side % 2, bias=False),
        nn.Flatten(),
        Shift(side * side),
    ]
    return nn.Sequential(*encoder), nn.Sequential(*decoder)


def _linear(sizes: tuple[int, ...], activation: type[nn.Module]) -> list[nn.Module]:
    """Fully connected layers with the activation between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [Linear(inputs, outputs), activation()]
    return layers[:-1]


def save(model: VAE, path: Path) -> None:
    """Write weights and architecture as safetensors; the same weights give the same bytes.

    The distribution of the pixels is named if it is not Bernoulli's, the prior if not N(0, I).
    """
    weights = {name: tensor.cpu().numpy() for name, tensor in model.state_dict().items()}
    layers = {
        "encoder": describe(model.encoder, model.size),
        "decoder": describe(model.decoder, model.params.latent_dim),
    }
    named = {} if model.pixels is BERNOULLI else {"pixels": model.pixels.name}
    params = asdict(model.params)
    if not model.params.prior_components:
        del params["prior_components"]
    architecture = json.dumps({**params, **named, "layers": layers})
    write_arrays(path, weights, {"architecture": architecture})


def load(path: Path) -> VAE:
    """Read a model that `save` wrote, on the CPU, in evaluation mode.

    Raises PipelineError if the file is missing, damaged or not a model of ours.
    """
    arrays, metadata = read_arrays(path)
    try:
        stored = json.loads(metadata["architecture"])
        stored["hidden_sizes"] = tuple(stored["hidden_sizes"])
        stored.pop("layers", None)  # for the diagrams; older files have none
        stored.setdefault("prior_components", 0)
        bias = [name for name in arrays if name.startswith("decoder.") and name.endswith(".bias")]
        last = max(bias, key=lambda name: int(name.split(".")[1]))  # of the pixels
        named = pixels.of(stored.pop("pixels", BERNOULLI.name))
        model = VAE(ModelParams(**stored), math.isqrt(len(arrays[last])), named)
        model.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        detail = str(error).splitlines()[0]
        raise PipelineError(f"{path} is not a model of this project ({detail})") from None
    return model.eval()
