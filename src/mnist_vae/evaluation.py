"""What a trained model is worth on the test set, and the arrays that the plots are drawn from."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mnist_vae import elbo, marginal, runtime
from mnist_vae.errors import PipelineError
from mnist_vae.model import VAE

ACTIVE = 0.01  # Burda et al. 2015, section 5.2: a unit is active if Var_x(E[z|x]) is above this


@dataclass(frozen=True)
class EvaluationParams:
    """The estimator's settings, and what to show."""

    likelihood: str
    evaluation_seed: int
    elbo_samples: int
    iwae_samples: int
    quadrature_points: int
    quadrature_extent: float
    picture_seed: int
    manifold_size: int
    manifold_extent: float
    reconstructions: int
    prior_samples: int


@dataclass(frozen=True)
class Posterior:
    """q(z|x) of N images: mean and log-variance (N, L), KL of each unit (N, L), nats."""

    mean: Tensor
    log_variance: Tensor
    kl_per_unit: Tensor


@torch.no_grad()
def infer(model: VAE, x: Tensor, chunk: int = 1000) -> Posterior:
    """Encode x (N, 784)."""
    parts = [model.encode(images) for images in x.split(chunk)]
    mean, log_variance = (torch.cat(part) for part in zip(*parts, strict=True))
    return Posterior(mean, log_variance, elbo.kl_per_unit(mean, log_variance))


@torch.no_grad()
def distortion(model: VAE, x: Tensor, posterior: Posterior, samples: int, seed: int) -> Tensor:
    """-E[log p(x|z)] of each image by `samples` draws from q(z|x): (N,), nats, float64."""
    noise = runtime.generator(seed, "evaluation", x.device)
    total = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    chunk = 1000
    for _ in range(samples):
        for start in range(0, len(x), chunk):
            part = slice(start, start + chunk)
            mean, log_variance = posterior.mean[part], posterior.log_variance[part]
            draw = torch.randn(mean.shape, generator=noise, device=x.device)
            logits = model.decode(elbo.reparameterize(mean, log_variance, draw))
            total[part] -= elbo.log_px_z(logits, x[part])
    return total / samples


def mean_and_error(values: Tensor) -> tuple[float, float]:
    """Mean over images and its standard error, sd / sqrt(N)."""
    return values.mean().item(), values.std().item() / math.sqrt(len(values))


def evaluate(
    model: VAE, x: Tensor, labels: np.ndarray, params: EvaluationParams
) -> tuple[dict[str, object], dict[str, np.ndarray]]:
    """Metrics (nats per image, +- standard error over the images) and arrays for the plots.

    x (N, 784): the test observations, on the model's device. The metrics stand under the name of
    the protocol, since figures of two protocols must not be compared.
    """
    posterior = infer(model, x)
    rate = posterior.kl_per_unit.sum(-1, dtype=torch.float64)
    loss = distortion(model, x, posterior, params.elbo_samples, params.evaluation_seed)
    per_image = -(rate + loss)
    variance = posterior.mean.var(0)
    metrics: dict[str, object] = {}
    for name, values in (("elbo", per_image), ("rate", rate), ("distortion", loss)):
        metrics[f"test_{name}"], metrics[f"test_{name}_se"] = mean_and_error(values)
    metrics["active_units"] = int((variance > ACTIVE).sum())
    metrics |= log_likelihood(model, x, posterior, params)
    arrays = {
        "labels": labels,
        "latent_mean": posterior.mean,
        "kl_per_unit": posterior.kl_per_unit.mean(0),
        "mean_variance": variance,
        "active": variance > ACTIVE,
        "elbo_per_image": per_image,
        **pictures(model, x, labels, variance, params),
    }
    return {params.likelihood: metrics}, {
        name: array if isinstance(array, np.ndarray) else _numpy(array)
        for name, array in arrays.items()
    }


def log_likelihood(
    model: VAE, x: Tensor, posterior: Posterior, params: EvaluationParams
) -> dict[str, object]:
    """The bounds and values of log p(x) that the parameters ask for; none where they say 0.

    Raises PipelineError if quadrature is asked for with other than two latent units.
    """
    metrics: dict[str, object] = {}
    if params.quadrature_points and model.params.latent_dim != 2:
        raise PipelineError(
            f"quadrature_points is {params.quadrature_points}, but quadrature needs latent_dim 2 "
            f"and this model has {model.params.latent_dim}; set quadrature_points to 0"
        )
    if params.iwae_samples:
        name = f"test_iwae_{params.iwae_samples}"
        bounds = marginal.iwae(
            model,
            x,
            posterior.mean,
            posterior.log_variance,
            params.iwae_samples,
            params.evaluation_seed,
        )
        metrics[name], metrics[f"{name}_se"] = mean_and_error(bounds)
    if params.quadrature_points:
        exact = marginal.quadrature(model, x, params.quadrature_points, params.quadrature_extent)
        metrics["test_log_px"], metrics["test_log_px_se"] = mean_and_error(exact.log_px)
        metrics["quadrature_truncation"] = exact.truncation
        metrics["quadrature_resolution"] = exact.resolution
    return metrics


@torch.no_grad()
def pictures(
    model: VAE, x: Tensor, labels: np.ndarray, variance: Tensor, params: EvaluationParams
) -> dict[str, np.ndarray | Tensor]:
    """Reconstructed digits, prior samples, and a grid of decoded digits.

    The grid spans the two latent units with the largest variance of E[z|x], with all others at
    the prior's mean; its first axis goes to the right, its second upwards. One unit: one row.
    """
    chooser = runtime.generator(params.picture_seed, "reconstructions")
    chosen: list[int] = []
    for digit in range(10):
        of_class = torch.from_numpy(np.flatnonzero(labels == digit))
        shuffled = of_class[torch.randperm(len(of_class), generator=chooser)]
        chosen += sorted(shuffled[: params.reconstructions].tolist())
    latent = model.params.latent_dim
    device = x.device
    prior = torch.randn(
        (params.prior_samples, latent), generator=runtime.generator(params.picture_seed, "prior")
    )
    axis = torch.linspace(-params.manifold_extent, params.manifold_extent, params.manifold_size)
    units = variance.argsort(descending=True, stable=True)[:2].sort().values.cpu()
    rows = axis.flip(0) if len(units) == 2 else torch.zeros(1)
    z = torch.zeros(len(rows), len(axis), latent)
    z[..., units[0]] = axis
    if len(units) == 2:
        z[..., units[1]] = rows[:, None]
    return {
        "picture_labels": labels[chosen],
        "originals": x[chosen],
        "reconstructions": model(x[chosen]),
        "prior_samples": torch.sigmoid(model.decode(prior.to(device))),
        "manifold": torch.sigmoid(model.decode(z.to(device))),
        "manifold_axis": axis,
        "manifold_units": units.to(torch.int32),
    }


def _numpy(tensor: Tensor) -> np.ndarray:
    if tensor.dtype == torch.bool:
        return tensor.cpu().numpy().astype(np.uint8)
    if tensor.dtype == torch.float64:
        tensor = tensor.to(torch.float32)
    return tensor.cpu().numpy()
