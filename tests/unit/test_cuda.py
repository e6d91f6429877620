"""Training on a GPU, by a replayed CUDA graph. Skipped where there is no GPU."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mnist_vae import cuda_graph, runtime, training
from mnist_vae.checkpoint import Checkpoint
from mnist_vae.history import Row
from mnist_vae.model import VAE, ModelParams
from mnist_vae.objective import bound, observe
from tests.support.fitting import LEARNED, MLP, PARAMS, VARIANTS, images, new_model, same

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")


@pytest.fixture(autouse=True)
def prepared() -> Iterator[None]:
    runtime.prepare(runtime.RuntimeParams("cuda", 1, "native"))
    yield
    torch.use_deterministic_algorithms(False)


def train(
    params: training.TrainingParams, device: str, folder: Path, until: int = 10**6
) -> tuple[VAE, list[Row]]:
    """Train a small network; a signal asks it to stop after `until` steps."""
    network = new_model(params).to(device)
    saved = Checkpoint(folder / "checkpoint.safetensors", math.inf)

    def on_step(done: int) -> None:
        if done == until:
            saved._signal = "SIGTERM"

    x, validation = images()
    history = training.fit(network, x, validation, params, saved, on_step, lambda _: None)
    return network.cpu(), history


@pytest.mark.parametrize("variant", VARIANTS)
def test_replayed_steps_give_the_bytes_of_plain_ones(
    variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replayed, history = train(VARIANTS[variant], "cuda", tmp_path)
    monkeypatch.setattr(cuda_graph, "WARM_UP", 10**6)
    plain, expected = train(VARIANTS[variant], "cuda", tmp_path)
    assert history == expected
    assert same(replayed, plain)


@pytest.mark.parametrize("until", [1, 6, 13])
@pytest.mark.parametrize("variant", ["elbo", "samples warm-up", "second cycle"])
def test_a_stopped_training_goes_on_to_the_same_bytes(
    variant: str, until: int, tmp_path: Path
) -> None:
    params = replace(VARIANTS[variant], ema_decay=0.9, encoder_noise=0.5)
    whole, expected = train(params, "cuda", tmp_path / "whole")
    with pytest.raises(training.Interrupted):
        train(params, "cuda", tmp_path, until)
    resumed, history = train(params, "cuda", tmp_path)
    assert history == expected
    assert same(resumed, whole)


@pytest.mark.parametrize("variant", ["elbo", "iwae", "dreg", "iwae through some", "noisy encoder"])
@pytest.mark.parametrize(
    "architecture",
    [
        MLP,
        LEARNED,
        replace(MLP, architecture="conv", hidden_sizes=(4, 8, 16), activation="tanh"),
    ],
    ids=["mlp", "learned prior", "conv"],
)
def test_a_gpu_has_the_objective_and_the_gradient_of_a_cpu(
    architecture: ModelParams, variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given the same random numbers: both devices get a CPU's."""
    params, x = VARIANTS[variant], images()[0]
    for name in ("rand", "randn"):
        draw = getattr(torch, name)

        def drawn(shape: torch.Size, generator: torch.Generator, device: torch.device, draw=draw):
            return draw(shape, generator=generator).to(device)

        monkeypatch.setattr(torch, name, drawn)

    def differentiate(device: str) -> tuple[torch.Tensor, list[torch.Tensor]]:
        network, draws = new_model(params, architecture).to(device), runtime.generator(0, "noise")
        seen, observed = observe(x.to(device), params, draws)
        terms = bound(network, seen, observed, params, torch.tensor(1.0, device=device), draws)
        terms[0].mean().backward()
        gradients = [weight.grad.cpu() for weight in network.parameters()]
        return torch.stack(terms).detach().cpu(), gradients

    (terms, gradients), (expected, others) = differentiate("cuda"), differentiate("cpu")
    torch.testing.assert_close(terms, expected, rtol=1e-4, atol=1e-3)
    for gradient, other in zip(gradients, others, strict=True):
        largest = other.abs().max().item()
        assert largest > 0
        torch.testing.assert_close(gradient, other, rtol=1e-3, atol=1e-4 * largest)


def test_a_gpu_learns(tmp_path: Path) -> None:
    """As far as a CPU does: its ELBO is -270 to -227 after this training, by the seed."""
    _, history = train(replace(PARAMS, epochs=20), "cuda", tmp_path)
    assert history[0]["train_elbo"] < -500
    assert -300 < history[-1]["train_elbo"] < -200
