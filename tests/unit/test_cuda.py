"""Training on a GPU, by a replayed CUDA graph. Skipped where there is no GPU."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mnist_vae import cuda_graph, runtime, training
from mnist_vae.checkpoint import Checkpoint
from mnist_vae.model import VAE, ModelParams, initialize
from tests.unit.fitting import PARAMS, VARIANTS, images, same

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")


@pytest.fixture(autouse=True)
def prepared() -> Iterator[None]:
    runtime.prepare(runtime.RuntimeParams("cuda", 1))
    yield
    torch.use_deterministic_algorithms(False)


def train(
    params: training.TrainingParams, device: str, folder: Path, until: int = 10**6
) -> tuple[VAE, list[training.Row]]:
    """Train a small network; a signal asks it to stop after `until` steps."""
    network = VAE(
        ModelParams(latent_dim=2, hidden_sizes=(12,), activation="relu", architecture="mlp")
    )
    initialize(network, params.weight_init, None, runtime.generator(0, "weights"))
    network.to(device)
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
def test_a_stopped_training_goes_on_to_the_same_bytes(until: int, tmp_path: Path) -> None:
    params = replace(PARAMS, weight_averaging=0.9, encoder_noise=0.5)
    whole, expected = train(params, "cuda", tmp_path / "whole")
    with pytest.raises(training.Interrupted):
        train(params, "cuda", tmp_path, until)
    resumed, history = train(params, "cuda", tmp_path)
    assert history == expected
    assert same(resumed, whole)


def test_a_gpu_learns_what_a_cpu_does(tmp_path: Path) -> None:
    params = replace(PARAMS, epochs=20)
    (_, gpu), (_, cpu) = (train(params, device, tmp_path / device) for device in ("cuda", "cpu"))
    assert gpu[-1]["train_elbo"] == pytest.approx(cpu[-1]["train_elbo"], abs=10)
    assert gpu[-1]["train_elbo"] > gpu[0]["train_elbo"] + 50
