"""The VAE: an MLP encoder to a diagonal Gaussian and its mirror as decoder to Bernoulli logits."""

import json
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from mnist_vae.errors import PipelineError
from mnist_vae.files import read_arrays, write_arrays

PIXELS = 28 * 28


class Tanh(nn.Module):
    """tanh(x) = 2 sigmoid(2x) - 1, which torch computes in a fifth of its tanh's time on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(2 * x) * 2 - 1


ACTIVATIONS = {"relu": nn.ReLU, "tanh": Tanh}


@dataclass(frozen=True)
class ModelParams:
    """The architecture; stored with the weights, so that a model loads without params.yaml."""

    latent_dim: int
    hidden_sizes: tuple[int, ...]
    activation: str


class VAE(nn.Module):
    """p(z) = N(0, I); q(z|x) = N(mean(x), diag(exp(log_variance(x)))); p(x|z) = Bernoulli."""

    def __init__(self, params: ModelParams) -> None:
        super().__init__()
        self.params = params
        sizes = params.hidden_sizes
        self.encoder = _mlp((PIXELS, *sizes, 2 * params.latent_dim), params.activation)
        self.decoder = _mlp((params.latent_dim, *sizes[::-1], PIXELS), params.activation)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Images (..., 784) in [0, 1] -> mean and log-variance of q(z|x), each (..., L)."""
        mean, log_variance = self.encoder(x).chunk(2, dim=-1)
        return mean, log_variance

    def decode(self, z: Tensor) -> Tensor:
        """Latent vectors (..., L) -> Bernoulli logits of the pixels (..., 784)."""
        logits: Tensor = self.decoder(z)
        return logits

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct: images (..., 784) -> pixel probabilities (..., 784) at q(z|x)'s mean."""
        return torch.sigmoid(self.decode(self.encode(x)[0]))


def _mlp(sizes: tuple[int, ...], activation: str) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers[:-1])


@torch.no_grad()
def initialize(
    model: VAE, scheme: str, mean_image: Tensor | None, generator: torch.Generator
) -> None:
    """Random weights, in place.

    glorot: weights uniform by fan-in and fan-out, biases zero (Glorot & Bengio 2010). lecun:
    weights and biases uniform in +-1/sqrt(fan-in) (LeCun et al. 1998), so that the decoder's first
    units bend at places spread over a small latent space.

    With `mean_image` (784,), the output bias is its logit, so that training starts from the
    mean image and not from grey (Burda et al. 2015, section 5).
    """
    for layer in [*model.encoder, *model.decoder]:
        if not isinstance(layer, nn.Linear):
            continue
        if scheme == "glorot":
            nn.init.xavier_uniform_(layer.weight, generator=generator)
            nn.init.zeros_(layer.bias)
        else:
            bound = layer.in_features**-0.5
            nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
            nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
    if mean_image is not None:
        # Pixels that are always black have logit -inf: 1e-3 is one grey level in four images.
        bias = model.decoder.get_parameter(f"{len(model.decoder) - 1}.bias")
        bias.copy_(torch.logit(mean_image.clamp(1e-3, 1 - 1e-3)))


def save(model: VAE, path: Path) -> None:
    """Write weights and architecture as safetensors; the same weights give the same bytes."""
    weights = {name: tensor.cpu().numpy() for name, tensor in model.state_dict().items()}
    write_arrays(path, weights, {"architecture": json.dumps(asdict(model.params))})


def load(path: Path) -> VAE:
    """Read a model that `save` wrote, on the CPU, in evaluation mode.

    Raises PipelineError if the file is missing, damaged or not a model of ours.
    """
    arrays, metadata = read_arrays(path)
    try:
        stored = json.loads(metadata["architecture"])
        stored["hidden_sizes"] = tuple(stored["hidden_sizes"])
        model = VAE(ModelParams(**stored))
        model.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        detail = str(error).splitlines()[0]
        raise PipelineError(f"{path} is not a model of this project ({detail})") from None
    return model.eval()
