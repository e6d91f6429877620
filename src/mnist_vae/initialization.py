"""What a model's weights are before training."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mnist_vae import pixels, runtime
from mnist_vae.model import VAE, ModelParams


@dataclass(frozen=True)
class StartParams:
    """What decides a new model's weights, and the distribution of its pixels."""

    likelihood: str
    weight_init: str
    output_bias: str
    seed: int


def new(params: ModelParams, start: StartParams, mean_image: Tensor) -> VAE:
    """A model with the initial weights that training starts from; mean_image (784,)."""
    model = VAE(params, math.isqrt(len(mean_image)), pixels.of(start.likelihood))
    mean = mean_image if start.output_bias == "data_mean" else None
    initialize(model, start.weight_init, mean, runtime.generator(start.seed, "weights"))
    return model


@torch.no_grad()
def initialize(
    model: VAE, scheme: str, mean_image: Tensor | None, generator: torch.Generator
) -> None:
    """Random weights, in place.

    glorot: weights uniform by fan-in and fan-out, biases zero (Glorot & Bengio 2010). torch:
    weights and biases uniform in +-1/sqrt(fan-in), PyTorch's own (ibid., equation 1), but of a
    transposed convolution by what one output adds up. spread: the same, then `_spread`, for few
    latent units.

    The output bias is zero or, with `mean_image` (784,), the logits whose mean it is, so that
    training starts from the mean image and not from grey (Burda et al. 2015, section 5).
    """
    for layer in [*model.encoder, *model.decoder]:
        if not isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            continue
        bound = _fan_in(layer) ** -0.5
        if scheme == "glorot":
            nn.init.xavier_uniform_(layer.weight, generator=generator)
        else:
            nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
        if layer.bias is not None:
            if scheme == "glorot":
                nn.init.zeros_(layer.bias)
            else:
                nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
    if scheme == "spread":
        _spread(model)
    model.prior.initialize(generator)
    bias = model.decoder.get_parameter(f"{len(model.decoder) - 1}.bias")
    if mean_image is None:
        bias.zero_()
    else:
        # Pixels that are always black have logit -inf: 1e-3 is one grey level in four images.
        bias.copy_(model.pixels.logit(mean_image.clamp(1e-3, 1 - 1e-3)))


def _spread(model: VAE) -> None:
    """Fill a small latent space from the start, in place.

    The decoder's first units are steeper, and their bends w z + b = 0 lie up to twice as far out,
    over the whole prior. The codes begin further apart, and known better than under the prior: by
    3 nats in all, whatever the number of units that share them. So the decoder learns from codes
    that it can tell apart. The more units there are, the less of this is needed.
    """
    scale = 8 / model.params.latent_dim
    model.decoder.get_parameter("0.weight").mul_(max(1.0, scale))
    model.decoder.get_parameter("0.bias").mul_(max(1.0, 2 * scale))
    last = len(model.encoder) - 1
    means, log_variances = model.encoder.get_parameter(f"{last}.weight").chunk(2)
    means.mul_(max(1.0, 0.75 * scale))
    log_variances.zero_()
    model.encoder.get_parameter(f"{last}.bias").chunk(2)[1].fill_(-0.75 * scale)


def _fan_in(layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d) -> int:
    """How many inputs each output adds up."""
    if isinstance(layer, nn.Linear):
        return layer.in_features
    taps = math.prod(layer.kernel_size)
    if isinstance(layer, nn.ConvTranspose2d):
        taps //= math.prod(layer.stride)
    return layer.in_channels * taps
