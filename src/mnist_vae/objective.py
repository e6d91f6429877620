"""What training maximises: the ELBO or the IWAE bound of a batch, with its gradient."""

from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mnist_vae import dataset, elbo, sums
from mnist_vae.model import VAE


@dataclass(frozen=True)
class ObjectiveParams:
    """The bound, and what it is a bound of."""

    likelihood: str
    encoder_noise: float
    objective: str
    importance_samples: int
    gradient_samples: int
    importance_warmup_epochs: int
    beta: float
    kl_warmup_epochs: float


def in_epoch(params: ObjectiveParams, epoch: int) -> ObjectiveParams:
    """The parameters that hold in an epoch, counted from 0: one importance sample at first.

    While the learning rate is high, its noise hides what a tighter bound would gain.
    """
    if epoch >= importance_warmup(params):
        return params
    return replace(params, importance_samples=1)


def importance_warmup(params: ObjectiveParams) -> int:
    """How many epochs at the start have one importance sample; none for the ELBO."""
    return 0 if params.objective == "elbo" else params.importance_warmup_epochs


def observe(
    intensities: Tensor, params: ObjectiveParams, pixels: torch.Generator
) -> tuple[Tensor, Tensor]:
    """What the encoder sees and what the likelihood is measured on, each (B, 784).

    binarized: one fresh draw for both. Otherwise the likelihood stays on the intensities, and the
    encoder sees them mixed with a draw, which keeps it from learning the training images by heart.
    """
    binarized = params.likelihood == "binarized"
    if not (binarized or params.encoder_noise):
        return intensities, intensities
    drawn = dataset.draw(intensities, pixels)
    if binarized:
        return drawn, drawn
    return torch.lerp(intensities, drawn, params.encoder_noise), intensities


def bound(
    model: VAE,
    seen: Tensor,
    x: Tensor,
    params: ObjectiveParams,
    beta: Tensor,
    noise: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """Objective, rate and distortion of each image: seen, x (B, 784), beta () -> three times (B,).

    iwae_dreg is the bound of iwae, its gradient for the encoder doubly reparameterized (Tucker et
    al. 2019, arXiv:1810.04152): the k-th sample's path counts with its normalised weight
    squared, for beta other than 1 with w (1 - beta + beta w).

    Both gradients are averages over the samples, weighted by w. With `gradient_samples` M below K
    they are taken over M samples drawn by those weights: the same in the mean, and all other
    samples need no backward pass.
    """
    mean, log_variance = model.encode(seen)
    samples, some = params.importance_samples, params.gradient_samples
    draws = torch.randn((samples, *mean.shape), generator=noise, device=x.device)  # (K, B, L)
    if params.objective == "elbo":
        z = elbo.reparameterize(mean, log_variance, draws)
        distortion = -sums.mean(model.pixels.log_px_z(model.decode(z), x))
        rate = model.prior.rate_terms(mean, log_variance, z).sum(-1)
        return -(distortion + beta * rate), rate, distortion
    few = 0 < some < samples
    with torch.no_grad() if few else nullcontext():
        z, log_qz_pz = _sample(model, mean, log_variance, draws, params)
        log_px_z = _log_px_z(model, z, x) if few else model.pixels.log_px_z(model.decode(z), x)
        log_weights = log_px_z - beta * log_qz_pz
        value = elbo.iwae_bound(log_weights)
    weights = sums.softmax(log_weights.detach())
    rate, distortion = sums.mean(log_qz_pz), -sums.mean(log_px_z)
    if few:
        chosen = resample(weights, some, noise)  # (M, B)
        draws = draws.gather(0, chosen.unsqueeze(-1).expand(-1, -1, draws.shape[-1]))
        weights = weights.gather(0, chosen)
        z, log_qz_pz = _sample(model, mean, log_variance, draws, params)
        path = sums.mean(model.pixels.log_px_z(model.decode(z), x) - beta * log_qz_pz)
        value = value + path - path.detach()
    if params.objective == "iwae_dreg" and z.requires_grad:
        scale = (1 - beta + beta * weights).unsqueeze(-1)
        z.register_hook(lambda gradient: gradient * scale)
    return value, rate, distortion


def resample(weights: Tensor, samples: int, noise: torch.Generator) -> Tensor:
    """Draw `samples` of K by their weights: weights (K, B), sums 1 -> indices (samples, B).

    Systematic: one random number per image, so that a weight w is drawn samples * w times to
    within one (Kitagawa 1996).
    """
    first = torch.rand((weights.shape[1], 1), generator=noise, device=weights.device)
    points = (first + torch.arange(samples, device=weights.device)) / samples
    chosen = torch.searchsorted(weights.T.cumsum(1), points, right=True)
    return chosen.clamp_(max=len(weights) - 1).T  # the sum may miss 1 by a rounding


def _sample(
    model: VAE, mean: Tensor, log_variance: Tensor, draws: Tensor, params: ObjectiveParams
) -> tuple[Tensor, Tensor]:
    """z (K, B, L) and log q(z|x) - log p(z) (K, B)."""
    z = elbo.reparameterize(mean, log_variance, draws)
    if params.objective == "iwae_dreg":  # without q's score; what it adds comes in by way of z
        mean, log_variance = mean.detach(), log_variance.detach()
    return z, elbo.log_normal(z, mean, log_variance) - model.prior.log_density(z)


def _log_px_z(model: VAE, z: Tensor, x: Tensor) -> Tensor:
    """log p(x|z) (K, B) without a gradient, few samples at a time: logits that fit the cache."""
    return torch.cat([model.pixels.log_px_z_(model.decode(some), x) for some in z.split(10)])
