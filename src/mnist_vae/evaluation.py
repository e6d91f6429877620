"""What a trained model is worth on the test set, and the arrays that the plots are drawn from."""

import hashlib
import math
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from mnist_vae import dataset, marginal, probe, runtime, sums, walks
from mnist_vae.errors import PipelineError
from mnist_vae.model import VAE
from mnist_vae.posterior import Posterior, infer, rate_and_distortion, variance_of_means

ACTIVE = 0.01  # Burda et al. 2015, section 5.2: a unit is active if Var_x(E[z|x]) / Var[z] is above
COLUMNS = 10  # of reconstructions: one for each of the first ten classes that the test set has
# Nats per image above which a quadrature is refused. Its value is off by the truncation, but by a
# third of the resolution at most, since the sum converges so fast.
TRUNCATION, RESOLUTION = 0.1, 0.3


@dataclass(frozen=True)
class EvaluationParams:
    """The estimator's settings, and what to show."""

    likelihood: str
    evaluation_seed: int
    elbo_samples: int
    iwae_samples: int
    quadrature_points: int
    quadrature_extent: float
    knn_neighbours: int
    picture_seed: int
    manifold_size: int
    manifold_extent: float
    reconstructions: int
    prior_samples: int


def mean_and_error(values: Tensor) -> tuple[float, float]:
    """Mean over images, at least two, and its standard error, sd / sqrt(N), by exact sums."""
    points = values.tolist()
    mean = math.fsum(points) / len(points)
    squares = math.fsum((point - mean) ** 2 for point in points)
    return mean, math.sqrt(squares / (len(points) - 1) / len(points))


def evaluate(
    model: VAE,
    x: Tensor,
    labels: np.ndarray | None,
    train: tuple[Tensor, np.ndarray | None],
    params: EvaluationParams,
) -> tuple[dict[str, object], dict[str, np.ndarray]]:
    """Metrics (nats per image, +- standard error over the images) and arrays for the plots.

    x (N, 784): the test observations, on the model's device. train: the training set's
    intensities (M, 784) and labels, for the classifiers on the latent means. Where there are no
    labels, or all training images are of one class, there are no classifiers. The metrics stand
    under the name of the protocol, since figures of two protocols must not be compared.
    """
    posterior = infer(model, x)
    samples, seed = params.elbo_samples, params.evaluation_seed
    rate, loss = rate_and_distortion(model, x, posterior, samples, seed)
    per_image = -(rate + loss)
    variance = variance_of_means(model, posterior)
    metrics: dict[str, object] = {}
    for name, values in (("elbo", per_image), ("rate", rate), ("distortion", loss)):
        metrics |= _named(f"test_{name}", values)
    metrics["active_units"] = int((variance > ACTIVE).sum())
    metrics |= log_likelihood(model, x, posterior, per_image, params)
    predicted: dict[str, np.ndarray] = {}
    if labels is not None and train[1] is not None and len(np.unique(train[1])) > 1:
        predicted = probe.predictions(
            train_means(model, train[0], params),
            train[1],
            _numpy(posterior.mean),
            params.knn_neighbours,
        )
        metrics |= probe.accuracies(predicted, labels)
    if params.likelihood == "binarized":
        pixels = _numpy(x.to(torch.uint8)).tobytes()
        metrics["test_set_sha256"] = hashlib.sha256(pixels).hexdigest()
    arrays = {
        **({} if labels is None else {"labels": labels}),
        "latent_mean": posterior.mean,
        "kl_per_unit": sums.mean(posterior.kl_per_unit),
        "mean_variance": variance,
        "active": variance > ACTIVE,
        "elbo_per_image": per_image,
        **({"knn_predicted": predicted["knn"]} if predicted else {}),
        **pictures(model, x, labels, variance, params),
        **walked(model, x, labels, posterior, per_image, params),
    }
    return {params.likelihood: metrics}, {
        name: array if isinstance(array, np.ndarray) else _numpy(array)
        for name, array in arrays.items()
    }


def log_likelihood(
    model: VAE, x: Tensor, posterior: Posterior, bound: Tensor, params: EvaluationParams
) -> dict[str, object]:
    """The bounds and values of log p(x) that the parameters ask for; none where they say 0.

    bound (N,): the ELBO of each image. Each tighter figure comes with its distance to the ones
    below it, with a standard error of its own: the images' differences vary less than they do.

    Raises PipelineError if quadrature is asked for with other than two latent units, or with a
    grid that is too coarse or too small for the value to be called exact.
    """
    if params.quadrature_points and model.params.latent_dim != 2:
        raise PipelineError(
            f"quadrature_points is {params.quadrature_points}, but quadrature needs latent_dim 2 "
            f"and this model has {model.params.latent_dim}; set quadrature_points to 0"
        )
    metrics: dict[str, object] = {}
    figures = {"elbo": bound}
    exact = _quadrature(model, x, params) if params.quadrature_points else None  # may be refused
    if params.iwae_samples:
        samples, seed = params.iwae_samples, params.evaluation_seed
        figures[f"iwae_{samples}"] = marginal.iwae(
            model, x, posterior.mean, posterior.log_variance, samples, seed
        )
    if exact:
        figures["log_px"] = exact.log_px
        metrics["quadrature_truncation"] = exact.truncation
        metrics["quadrature_resolution"] = exact.resolution
    for name, values in figures.items():
        if name != "elbo":
            metrics |= _named(f"test_{name}", values)
        if params.likelihood == "binarized":  # a probability of pixels, so that it has bits
            nats = x.shape[1] * math.log(2)  # per image, at one bit per pixel
            metrics[f"test_{name}_bits_per_dimension"] = -mean_and_error(values)[0] / nats
    for (lower, below), (upper, above) in combinations(figures.items(), 2):
        metrics |= _named(f"test_{upper}_minus_{lower}", above - below)
    return metrics


def _quadrature(model: VAE, x: Tensor, params: EvaluationParams) -> marginal.Quadrature:
    exact = marginal.quadrature(model, x, params.quadrature_points, params.quadrature_extent)
    for name, value, most, remedy in (
        ("resolution", exact.resolution, RESOLUTION, "more quadrature_points"),
        ("truncation", exact.truncation, TRUNCATION, "a larger quadrature_extent"),
    ):
        if not value <= most:
            raise PipelineError(
                f"the grid of quadrature_points {params.quadrature_points} and quadrature_extent "
                f"{params.quadrature_extent:g} does not give log p(x): its {name} is {value:.3g} "
                f"nats, above {most:g}; take {remedy}"
            )
    return exact


def _named(name: str, values: Tensor) -> dict[str, object]:
    mean, error = mean_and_error(values)
    return {name: mean, f"{name}_se": error}


def train_means(model: VAE, intensities: Tensor, params: EvaluationParams) -> np.ndarray:
    """Means of q(z|x) of the training images (M, 784) -> (M, L), binarized once if the test is."""
    device = next(model.parameters()).device
    x = intensities.to(device)
    if params.likelihood == "binarized":
        x = dataset.draw(x, runtime.generator(params.evaluation_seed, "probe", device))
    return _numpy(infer(model, x).mean)


@torch.no_grad()
def pictures(
    model: VAE,
    x: Tensor,
    labels: np.ndarray | None,
    variance: Tensor,
    params: EvaluationParams,
) -> dict[str, np.ndarray | Tensor]:
    """Reconstructed digits, prior samples, and a grid of decoded digits.

    The grid spans the two latent units with the largest variance of E[z|x], in the prior's standard
    deviations, with all others at its mean; its first axis goes to the right, its second upwards.
    One unit: one row.
    picture_labels (M,): the class of each reconstructed image, or 0 for all where there are none.
    """
    chooser = runtime.generator(params.picture_seed, "reconstructions")
    chosen: list[int] = []
    kinds = np.zeros(len(x), np.uint8) if labels is None else labels
    shown = np.unique(kinds)[:COLUMNS]
    for kind in shown:
        of_class = torch.from_numpy(np.flatnonzero(kinds == kind))
        shuffled = of_class[torch.randperm(len(of_class), generator=chooser)]
        chosen += sorted(shuffled[: COLUMNS // len(shown) * params.reconstructions].tolist())
    latent = model.params.latent_dim
    device = x.device
    prior = model.prior.sample(params.prior_samples, params.picture_seed)
    axis = torch.linspace(-params.manifold_extent, params.manifold_extent, params.manifold_size)
    units = variance.argsort(descending=True, stable=True)[:2].sort().values.cpu()
    grid = walks.grid(axis, units, latent)
    decode = partial(_decode_scaled, model)
    return {
        "picture_labels": kinds[chosen],
        "originals": x[chosen],
        "reconstructions": model(x[chosen]),
        "prior_samples": _decode(model, prior.to(device)),
        "manifold": decode(grid.flatten(0, 1).to(device)).view(*grid.shape[:2], -1),
        "manifold_axis": axis,
        "manifold_quantiles": walks.quantiles(decode, units, latent, len(axis), device),
        "manifold_units": units.to(torch.int32),
    }


@torch.no_grad()
def walked(
    model: VAE,
    x: Tensor,
    labels: np.ndarray | None,
    posterior: Posterior,
    per_image: Tensor,
    params: EvaluationParams,
) -> dict[str, Tensor]:
    """Interpolations, traversals, and the images at both ends of the ELBO (N,)."""
    decode = partial(_decode, model)
    return {
        **walks.interpolations(decode, x, labels, posterior.mean, params.picture_seed),
        **walks.traversals(partial(_decode_scaled, model), sums.mean(posterior.kl_per_unit)),
        **walks.extremes(decode, x, posterior.mean, per_image),
    }


def _decode(model: VAE, z: Tensor, chunk: int = 1000) -> Tensor:
    """Pixel means of z (N, L): (N, 784)."""
    return torch.cat([model.means(codes) for codes in z.split(chunk)])


def _decode_scaled(model: VAE, steps: Tensor) -> Tensor:
    """As `_decode`, of places in the prior's standard deviations from its mean (N, L)."""
    mean, deviation = model.prior.moments(steps.device)
    return _decode(model, mean + deviation * steps)


def _numpy(tensor: Tensor) -> np.ndarray:
    if tensor.dtype == torch.bool:
        return tensor.cpu().numpy().astype(np.uint8)
    if tensor.dtype == torch.float64:
        tensor = tensor.to(torch.float32)
    return tensor.cpu().numpy()
