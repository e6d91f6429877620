"""A tiny model, noise for digits, and what `evaluate` is asked for."""

import numpy as np
import torch

from mnist_vae import initialization
from mnist_vae.evaluation import EvaluationParams
from mnist_vae.model import VAE, ModelParams

PARAMS = EvaluationParams(
    likelihood="greyscale",
    evaluation_seed=0,
    elbo_samples=4,
    iwae_samples=0,
    quadrature_points=0,
    quadrature_extent=5.0,
    knn_neighbours=3,
    picture_seed=0,
    manifold_size=5,
    manifold_extent=2.0,
    reconstructions=2,
    prior_samples=6,
)
LABELS = np.arange(60, dtype=np.uint8) % 10


def vae(latent_dim: int = 2, hidden: int = 8, components: int = 0) -> VAE:
    network = VAE(ModelParams(latent_dim, (hidden,), "tanh", "mlp", components))
    initialization.initialize(network, "glorot", None, torch.Generator().manual_seed(0))
    return network.eval()


def digits() -> torch.Tensor:
    return torch.rand((60, 784), generator=torch.Generator().manual_seed(1))


TRAIN = (digits(), LABELS)
