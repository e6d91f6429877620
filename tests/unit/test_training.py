"""Training on small data: repeats bit for bit, resumes to the same bytes, and learns."""

import copy
import math
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mnist_vae import model, training
from mnist_vae.checkpoint import Checkpoint
from mnist_vae.errors import PipelineError
from mnist_vae.model import VAE, ModelParams
from mnist_vae.training import Row, TrainingParams

PARAMS = TrainingParams(
    likelihood="greyscale",
    encoder_noise=0.0,
    weight_init="lecun",
    output_bias="zero",
    objective="elbo",
    importance_samples=1,
    gradient_samples=0,
    beta=1.0,
    kl_warmup_epochs=0.0,
    seed=0,
    epochs=3,
    batch_size=16,
    learning_rate=1e-2,
    input_rate_scale=1.0,
    output_rate_scale=1.0,
    schedule="one_cycle",
    warmup_fraction=0.3,
    weight_averaging=0.0,
)
VARIANTS = {
    "elbo": PARAMS,
    "binarized": replace(PARAMS, likelihood="binarized"),
    "noisy encoder": replace(PARAMS, encoder_noise=0.5),
    "several samples": replace(PARAMS, importance_samples=3),
    "iwae": replace(PARAMS, objective="iwae", importance_samples=4, likelihood="binarized"),
    "dreg": replace(PARAMS, objective="iwae_dreg", importance_samples=4),
    "iwae through some": replace(
        PARAMS, objective="iwae_dreg", importance_samples=6, gradient_samples=2
    ),
    "warm-up": replace(PARAMS, kl_warmup_epochs=1.5, beta=2.0),
    "constant": replace(PARAMS, schedule="constant"),
    "scaled rates": replace(PARAMS, input_rate_scale=0.5, output_rate_scale=2.0),
    "averaged": replace(PARAMS, weight_averaging=0.9),
}
STEPS = 5  # per epoch: 70 images in batches of 16


def images() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    prototypes = torch.rand((5, 784), generator=generator).round() * 0.9
    return prototypes.repeat(14, 1), prototypes.repeat(2, 1)


MLP = ModelParams(latent_dim=2, hidden_sizes=(12,), activation="relu", architecture="mlp")


def new_model(params: TrainingParams, architecture: ModelParams = MLP) -> VAE:
    vae = VAE(architecture)
    model.initialize(vae, params.weight_init, None, torch.Generator().manual_seed(1))
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


@pytest.mark.parametrize("variant", VARIANTS)
def test_two_runs_are_identical(tmp_path: Path, variant: str) -> None:
    torch.manual_seed(5)
    vae, history = fit(VARIANTS[variant], tmp_path)
    torch.manual_seed(6)  # the global generator plays no part
    again, history_again = fit(VARIANTS[variant], tmp_path)
    assert same(vae, again)
    assert history == history_again
    assert [row["epoch"] for row in history] == [1, 2, 3]
    assert all(math.isfinite(value) for row in history for value in row.values())


@pytest.mark.parametrize("variant", VARIANTS)
@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(1, 3 * STEPS - 1), min_size=1, max_size=3))
def test_stopped_training_resumes_to_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, variant: str, stops: list[int]
) -> None:
    params = VARIANTS[variant]
    vae, history = fit(params, tmp_path_factory.mktemp("undisturbed"))
    folder = tmp_path_factory.mktemp("stopped")
    for stop in sorted(set(stops)):
        with pytest.raises(training.Interrupted, match="SIGTERM"):
            fit(params, folder, stop)
        assert (folder / "checkpoint.safetensors").exists()
    resumed, resumed_history = fit(params, folder, begin_at=max(stops))
    assert same(vae, resumed)
    assert history == resumed_history


def test_a_damaged_checkpoint_is_named_and_training_starts_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vae, _ = fit(PARAMS, tmp_path / "undisturbed")
    with pytest.raises(training.Interrupted):
        fit(PARAMS, tmp_path, stop_at=7)
    path = tmp_path / "checkpoint.safetensors"
    whole = path.read_bytes()
    for damaged in (whole[:-5], whole[: len(whole) // 2], b"", b"x" * 100):
        path.write_bytes(damaged)
        again, _ = fit(PARAMS, tmp_path)
        assert same(vae, again)
        message = capsys.readouterr().err
        assert "checkpoint.safetensors" in message
        assert "training starts over" in message
        assert "dvc checkout" not in message  # it holds for outputs


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the checkpoint of a stopped training; leave it as it is."""
    folder = tmp_path_factory.mktemp("stopped")
    with pytest.raises(training.Interrupted):
        fit(PARAMS, folder, stop_at=7)
    return folder


@settings(max_examples=200)
@given(st.data())
def test_no_flipped_bit_in_a_checkpoint_goes_unnoticed(stopped: Path, data: st.DataObject) -> None:
    content = bytearray((stopped / "checkpoint.safetensors").read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    start, end = data.draw(st.sampled_from([(0, header), (header, len(content))]))
    content[data.draw(st.integers(start, end - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path = stopped / "flipped.safetensors"
    path.write_bytes(content)
    vae = VAE(MLP)
    before = copy.deepcopy(vae)
    optimizer = torch.optim.Adam(vae.parameters())
    models = {"model": vae}
    assert Checkpoint(path, 1).restore(models, optimizer) is None
    assert same(vae, before)
    assert not optimizer.state_dict()["state"]
    assert Checkpoint(stopped / "checkpoint.safetensors", 1).restore(models, optimizer) is not None
    assert not same(vae, before)


def test_a_finished_training_leaves_neither_checkpoint_nor_half_of_one(tmp_path: Path) -> None:
    with pytest.raises(training.Interrupted):
        fit(PARAMS, tmp_path, stop_at=7)
    (tmp_path / ".checkpoint.safetensors.abc.tmp").write_bytes(b"of a killed process")
    (tmp_path / ".other.safetensors.abc.tmp").write_bytes(b"of another training")
    Checkpoint(tmp_path / "checkpoint.safetensors", 1).remove()
    assert [path.name for path in tmp_path.iterdir()] == [".other.safetensors.abc.tmp"]


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"beta": 4.0}, {"objective": "iwae", "importance_samples": 5}, {"batch_size": 7}],
)
def test_parameters_change_the_result(tmp_path: Path, change: dict[str, object]) -> None:
    vae, _ = fit(PARAMS, tmp_path)
    other, _ = fit(replace(PARAMS, **change), tmp_path)  # type: ignore[arg-type]
    assert not same(vae, other)


def test_training_learns(tmp_path: Path) -> None:
    params = replace(PARAMS, epochs=40, schedule="constant")
    _, history = fit(params, tmp_path)
    # Five prototypes of 784 coin flips: 543 nats as noise.
    assert history[0]["train_elbo"] < -450
    assert history[-1]["validation_elbo"] > -350
    for row in history:
        assert row["train_elbo"] == pytest.approx(-(row["train_rate"] + row["train_distortion"]))


@pytest.mark.parametrize("variant", ["elbo", "iwae"])
def test_convolutions_learn_and_repeat(tmp_path: Path, variant: str) -> None:
    architecture = ModelParams(2, (3, 4, 12), "relu", "conv")
    params = replace(VARIANTS[variant], epochs=20)
    vae, history = fit(params, tmp_path, architecture=architecture)
    assert history[-1]["validation_elbo"] > history[0]["validation_elbo"] + 20
    assert same(vae, fit(params, tmp_path, architecture=architecture)[0])


def test_rates_are_scaled_for_the_first_and_the_last_layer_alone(tmp_path: Path) -> None:
    one_step = replace(PARAMS, epochs=1, batch_size=70, schedule="constant")
    before = new_model(PARAMS)
    same_rate, _ = fit(one_step, tmp_path)
    scaled, _ = fit(replace(one_step, input_rate_scale=0.5, output_rate_scale=3.0), tmp_path)
    expected = {"encoder.0": 0.5, "decoder.2": 3.0}
    for name, start in before.named_parameters():
        moved = same_rate.get_parameter(name) - start
        assert moved.abs().max() > 0
        ratio = expected.get(name.rpartition(".")[0], 1.0)
        torch.testing.assert_close(scaled.get_parameter(name) - start, ratio * moved)


def test_no_validation_set_leaves_its_columns_out(tmp_path: Path) -> None:
    vae, history = fit(PARAMS, tmp_path, validate=False)
    assert "validation_elbo" not in history[0]
    assert same(vae, fit(PARAMS, tmp_path)[0])  # looking at validation changes nothing


def test_divergence_names_the_epoch(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"diverged in epoch 1.*learning_rate"):
        fit(replace(PARAMS, learning_rate=1e30, schedule="constant"), tmp_path)
    assert not (tmp_path / "checkpoint.safetensors").exists()
    # All numbers finite, and out of all bounds.
    wild = replace(PARAMS, learning_rate=3, schedule="constant")
    with pytest.raises(PipelineError, match=r"diverged in epoch \d: the objective is -\d"):
        fit(wild, tmp_path)


@pytest.mark.parametrize("fault", [math.nan, math.inf])
def test_divergence_keeps_the_last_good_checkpoint(tmp_path: Path, fault: float) -> None:
    undisturbed, history = fit(PARAMS, tmp_path)
    vae = new_model(PARAMS)

    def break_weights(step: int) -> None:
        if step == STEPS + 2:
            with torch.no_grad():
                vae.decoder.get_parameter("0.weight")[0, 0] = fault

    train, validation = images()
    every_step = Checkpoint(tmp_path / "checkpoint.safetensors", seconds=0)
    with pytest.raises(PipelineError, match=r"diverged in epoch 2: the objective is nan"):
        training.fit(vae, train, validation, PARAMS, every_step, break_weights, len)
    started: list[int] = []
    resumed = new_model(PARAMS)
    again = training.fit(resumed, train, validation, PARAMS, every_step, started.append, len)
    assert started[0] == STEPS + 1  # the step before the fault
    assert same(resumed, undisturbed)
    assert again == history


def test_averaged_weights_follow_the_weights() -> None:
    network, mean = (VAE(ModelParams(2, (3,), "relu", "mlp")) for _ in range(2))
    before = mean.encoder[0].weight.clone()
    training.average(mean, network, training.EVERY - 1, 0.9)
    assert torch.equal(mean.encoder[0].weight, before)
    training.average(mean, network, 1000 * training.EVERY, 0.9)
    kept = 0.9**training.EVERY
    expected = kept * before + (1 - kept) * network.encoder[0].weight
    torch.testing.assert_close(mean.encoder[0].weight, expected)


@given(st.floats(0, 1), st.floats(1e-6, 1))
def test_one_cycle_rises_to_its_peak_and_falls_to_zero(warmup: float, peak: float) -> None:
    params = replace(PARAMS, warmup_fraction=warmup, learning_rate=peak, epochs=10)
    rates = [training.learning_rate(params, epoch / 20) for epoch in range(200)]
    assert all(0 <= rate <= peak * (1 + 1e-9) for rate in rates)
    top = rates.index(max(rates))
    assert rates[:top] == sorted(rates[:top])
    assert rates[top:] == sorted(rates[top:], reverse=True)


@given(st.floats(0, 100), st.floats(0, 20), st.floats(0, 50))
def test_kl_warm_up_is_linear_and_ends_at_beta(beta: float, warmup: float, epoch: float) -> None:
    params = replace(PARAMS, beta=beta, kl_warmup_epochs=warmup)
    weight = training.kl_weight(params, epoch)
    assert weight == (beta if epoch >= warmup else pytest.approx(beta * epoch / warmup))
