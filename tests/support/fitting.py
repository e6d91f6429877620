"""A tiny model, five images to train it on, and every kind of training."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import torch

from mnist_vae import initialization, pixels, training
from mnist_vae.checkpoint import Checkpoint
from mnist_vae.history import Row
from mnist_vae.model import VAE, ModelParams
from mnist_vae.training import TrainingParams

PARAMS = TrainingParams(
    likelihood="greyscale",
    encoder_noise=0.0,
    weight_init="torch",
    output_bias="zero",
    objective="elbo",
    importance_samples=1,
    gradient_samples=0,
    importance_warmup_epochs=0,
    beta=1.0,
    kl_warmup_epochs=0.0,
    seed=0,
    epochs=3,
    batch_size=16,
    learning_rate=1e-2,
    input_lr_scale=1.0,
    output_lr_scale=1.0,
    prior_lr_scale=5.0,
    schedule="one_cycle",
    importance_lr_scale=0.0,
    warmup_fraction=0.3,
    adam_beta2=0.999,
    ema_decay=0.0,
)
VARIANTS = {
    "elbo": PARAMS,
    "binarized": replace(PARAMS, likelihood="binarized"),
    "continuous": replace(PARAMS, likelihood="continuous_bernoulli"),
    "continuous, iwae": replace(
        PARAMS,
        objective="iwae_dreg",
        importance_samples=6,
        gradient_samples=2,
        likelihood="continuous_bernoulli",
    ),
    "noisy encoder": replace(PARAMS, encoder_noise=0.5),
    "several samples": replace(PARAMS, importance_samples=3),
    "iwae": replace(PARAMS, objective="iwae", importance_samples=4, likelihood="binarized"),
    "dreg": replace(PARAMS, objective="iwae_dreg", importance_samples=4),
    "iwae through some": replace(
        PARAMS, objective="iwae_dreg", importance_samples=6, gradient_samples=2
    ),
    "samples warm-up": replace(
        PARAMS,
        objective="iwae_dreg",
        importance_samples=6,
        gradient_samples=2,
        importance_warmup_epochs=1,
    ),
    "second cycle": replace(
        PARAMS,
        objective="iwae",
        importance_samples=6,
        importance_warmup_epochs=2,
        importance_lr_scale=0.5,
    ),
    "warm-up": replace(PARAMS, kl_warmup_epochs=1.5, beta=2.0),
    "constant": replace(PARAMS, schedule="constant"),
    "scaled rates": replace(PARAMS, input_lr_scale=0.5, output_lr_scale=2.0),
    "faster second moments": replace(PARAMS, adam_beta2=0.9),
    "averaged": replace(PARAMS, ema_decay=0.9),
}
STEPS = 5  # per epoch: 70 images in batches of 16


def images() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    prototypes = torch.rand((5, 784), generator=generator).round() * 0.9
    return prototypes.repeat(14, 1), prototypes.repeat(2, 1)


MLP = ModelParams(2, (12,), "relu", "mlp", 0)
LEARNED = replace(MLP, prior_components=5)  # the prior


def new_model(params: TrainingParams, architecture: ModelParams = MLP) -> VAE:
    vae = VAE(architecture, pixels=pixels.of(params.likelihood))
    initialization.initialize(vae, params.weight_init, None, torch.Generator().manual_seed(1))
    return vae


def fit(
    params: TrainingParams,
    folder: Path,
    stop_at: int | None = None,
    validate: bool = True,
    begin_at: int = 0,
    architecture: ModelParams = MLP,
) -> tuple[VAE, list[Row]]:
    """Train a tiny model; with `stop_at`, SIGTERM ourselves after so many steps.

    It must go on from a checkpoint after `begin_at` steps.
    """
    vae = new_model(params, architecture)
    train, validation = images()
    saved = Checkpoint(folder / "checkpoint.safetensors", seconds=1e9)

    steps: list[int] = []

    def on_step(step: int) -> None:
        steps.append(step)
        if step == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)

    with saved.catch_signals():
        history = training.fit(
            vae, train, validation if validate else validation[:0], params, saved, on_step, len
        )
    assert steps[0] == begin_at
    return vae, history


def same(first: VAE, second: VAE) -> bool:
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)
