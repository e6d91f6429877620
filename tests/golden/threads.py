"""Gradients of one batch in portable arithmetic, on each number of threads; prints their digests.

The shapes are those in which torch or oneDNN would divide a sum between threads.
"""

import hashlib
import json
import sys
from dataclasses import replace

# ruff: noqa: E402
from mnist_vae import arithmetic

arithmetic.prepare(arithmetic.ArithmeticParams("portable"))  # before torch and numpy

import torch

from mnist_vae import initialization, objective, pixels
from mnist_vae.model import VAE, ModelParams
from tests.support.fitting import PARAMS

DREG = replace(PARAMS, objective="iwae_dreg", importance_samples=50)
CASES = {
    "the default": (128, PARAMS, ModelParams(2, (512, 512), "relu", "mlp", 0)),
    "importance samples": (100, DREG, ModelParams(5, (20,), "tanh", "mlp", 0)),
    "some of them": (
        20,
        replace(DREG, gradient_samples=4),
        ModelParams(5, (20,), "tanh", "mlp", 0),
    ),
    "many samples": (
        69,
        replace(PARAMS, objective="iwae", importance_samples=700),
        ModelParams(2, (8,), "relu", "mlp", 0),
    ),
    "odd widths": (1100, PARAMS, ModelParams(36, (39, 100), "relu", "mlp", 0)),
    "one image": (1, PARAMS, ModelParams(2, (512, 512), "relu", "mlp", 0)),
    "one component, one unit": (256, PARAMS, ModelParams(1, (512, 200), "relu", "mlp", 1)),
    "one component of many samples": (700, DREG, ModelParams(2, (8,), "relu", "mlp", 1)),
    "a learned prior": (100, DREG, ModelParams(5, (20,), "tanh", "mlp", 37)),
}


def digest(name: str, threads: int) -> str:
    """Of the bound, its parts and all gradients."""
    torch.set_num_threads(threads)
    batch, params, architecture = CASES[name]
    generator = torch.Generator().manual_seed(0)
    vae = VAE(architecture, pixels=pixels.of(params.likelihood))
    initialization.initialize(vae, "torch", None, generator)
    x = torch.rand((batch, 784), generator=generator)
    found = objective.bound(vae, x, x, params, torch.tensor(0.9), generator)
    gradients = torch.autograd.grad(-found[0].mean(), list(vae.parameters()))
    sha256 = hashlib.sha256()
    for tensor in (*found, *gradients):
        sha256.update(tensor.detach().contiguous().numpy().tobytes())
    return sha256.hexdigest()


if __name__ == "__main__":
    counts = [int(count) for count in sys.argv[1:]]
    print(json.dumps({name: {count: digest(name, count) for count in counts} for name in CASES}))
