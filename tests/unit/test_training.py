"""Training on small data: repeats bit for bit, and learns."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mnist_vae import learner, training
from mnist_vae.checkpoint import Checkpoint
from mnist_vae.errors import PipelineError
from mnist_vae.model import VAE, ModelParams
from mnist_vae.training import TrainingParams
from tests.support.fitting import LEARNED, PARAMS, STEPS, VARIANTS, fit, new_model, same


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


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"beta": 4.0},
        {"objective": "iwae", "importance_samples": 5},
        {"batch_size": 7},
        {"adam_beta2": 0.9},
    ],
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
    architecture = ModelParams(2, (3, 4, 12), "relu", "conv", 0)
    params = replace(VARIANTS[variant], epochs=20)
    vae, history = fit(params, tmp_path, architecture=architecture)
    assert history[-1]["validation_elbo"] > history[0]["validation_elbo"] + 20
    assert same(vae, fit(params, tmp_path, architecture=architecture)[0])


@pytest.mark.parametrize("variant", ["elbo", "dreg", "iwae through some"])
def test_a_learned_prior_learns_repeats_and_goes_on(tmp_path: Path, variant: str) -> None:
    params = replace(VARIANTS[variant], epochs=20)
    vae, history = fit(params, tmp_path, architecture=LEARNED)
    assert history[-1]["validation_elbo"] > history[0]["validation_elbo"] + 20
    before = new_model(params, LEARNED).prior.parameters()
    for one, other in zip(vae.prior.parameters(), before, strict=True):
        assert (one - other).abs().min() > 0
    with pytest.raises(training.Interrupted):
        fit(params, tmp_path / "stopped", stop_at=37, architecture=LEARNED)
    again = fit(params, tmp_path / "stopped", begin_at=37, architecture=LEARNED)
    assert same(vae, again[0])
    assert history == again[1]


def test_rates_are_scaled_for_the_first_and_the_last_layer_and_the_prior(tmp_path: Path) -> None:
    one_step = replace(PARAMS, epochs=1, batch_size=70, schedule="constant", prior_lr_scale=1.0)
    before = new_model(PARAMS, LEARNED)
    same_rate, _ = fit(one_step, tmp_path, architecture=LEARNED)
    scales = {"input_lr_scale": 0.5, "output_lr_scale": 3.0, "prior_lr_scale": 2.0}
    scaled, _ = fit(replace(one_step, **scales), tmp_path, architecture=LEARNED)
    expected = {"encoder.0": 0.5, "decoder.2": 3.0, "prior": 2.0}
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


@pytest.mark.parametrize(("validate", "whose"), [(True, "validation"), (False, "training")])
def test_weights_that_break_in_the_last_step_are_not_written(
    tmp_path: Path, validate: bool, whose: str
) -> None:
    one_step = replace(PARAMS, epochs=1, batch_size=70, schedule="constant", learning_rate=1e6)
    with pytest.raises(PipelineError, match=rf"diverged in epoch 1: {whose}'s ELBO is -?\w"):
        fit(one_step, tmp_path, validate=validate)


def fit_black(params: TrainingParams, validated: float, folder: Path) -> None:
    """One epoch on black images by a decoder that takes no other for possible; one to validate."""
    settings = replace(params, epochs=1, learning_rate=1e-9)
    vae = new_model(settings)
    with torch.no_grad():
        vae.decoder[-1].bias.fill_(-1e6)
    validation = torch.full((1, 784), validated)
    checkpoint = Checkpoint(folder / "checkpoint.safetensors", seconds=1e9)
    training.fit(vae, torch.zeros(70, 784), validation, settings, checkpoint, lambda _: None, len)


def test_one_image_that_a_density_has_no_place_for_does_not_stop_training(tmp_path: Path) -> None:
    fit_black(VARIANTS["continuous"], 1.0, tmp_path)
    with pytest.raises(PipelineError, match="validation's ELBO is nan"):
        fit_black(VARIANTS["continuous"], math.nan, tmp_path)
    with pytest.raises(PipelineError, match="validation's ELBO is -7"):  # e8 nats
        fit_black(PARAMS, 1.0, tmp_path)


def test_averaged_weights_follow_the_weights() -> None:
    network, ema = (VAE(ModelParams(2, (3,), "relu", "mlp", 0)) for _ in range(2))
    before = ema.encoder[0].weight.clone()
    learner.average(ema, network, learner.EVERY + 1, 0.9)
    assert torch.equal(ema.encoder[0].weight, before)
    learner.average(ema, network, 1000 * learner.EVERY, 0.9)
    kept = 0.9**learner.EVERY
    expected = kept * before + (1 - kept) * network.encoder[0].weight
    torch.testing.assert_close(ema.encoder[0].weight, expected)


def test_a_training_too_short_for_an_average_ends_with_its_weights(tmp_path: Path) -> None:
    short = replace(PARAMS, epochs=1)
    assert STEPS < learner.EVERY
    vae, history = fit(replace(short, ema_decay=0.9), tmp_path)
    plain, expected = fit(short, tmp_path)
    assert same(vae, plain)
    assert history == expected
    assert not same(vae, new_model(short))


def test_an_average_knows_neither_the_first_weights_nor_misses_the_last() -> None:
    first, network, ema = (VAE(ModelParams(2, (3,), "relu", "mlp", 0)) for _ in range(3))
    ema.load_state_dict(first.state_dict())
    learner.average(ema, network, learner.EVERY, 0.9)
    assert same(ema, network)
    learner.average(ema, first, learner.EVERY + 3, 0.9, last=True)
    assert not same(ema, network)


@given(st.floats(0, 1), st.floats(1e-6, 1))
def test_one_cycle_rises_to_its_peak_and_falls_to_zero(warmup: float, peak: float) -> None:
    params = replace(PARAMS, warmup_fraction=warmup, learning_rate=peak, epochs=10)
    rates = [training.learning_rate(params, epoch / 20) for epoch in range(200)]
    assert all(0 <= rate <= peak * (1 + 1e-9) for rate in rates)
    if warmup > 0:
        assert rates[0] == pytest.approx(peak / 25)
    if warmup < 1:
        assert training.learning_rate(params, 10 * warmup) == pytest.approx(peak)
        assert training.learning_rate(params, 10) == pytest.approx(0, abs=1e-9 * peak)
    top = rates.index(max(rates))
    assert rates[:top] == sorted(rates[:top])
    assert rates[top:] == sorted(rates[top:], reverse=True)


@given(
    st.integers(1, 9), st.floats(0.01, 2), st.floats(0, 1), st.sampled_from(["iwae", "iwae_dreg"])
)
def test_the_second_cycle_starts_at_its_own_peak(
    warmup: int, scale: float, up: float, objective: str
) -> None:
    params = replace(PARAMS, epochs=10, importance_warmup_epochs=warmup, warmup_fraction=up)
    second = replace(params, objective=objective, importance_lr_scale=scale)
    alone = replace(params, epochs=warmup)
    for epoch in (0, 0.3 * warmup, 0.9 * warmup):  # the first is a whole one of so many epochs
        assert training.learning_rate(second, epoch) == training.learning_rate(alone, epoch)
    peak = second.learning_rate * scale
    rest = [warmup + (10 - warmup) * part / 8 for part in range(9)]
    rates = [training.learning_rate(second, epoch) for epoch in rest]
    assert rates[0] == pytest.approx(peak)
    assert rates[4] == pytest.approx(peak / 2)
    assert rates[8] == pytest.approx(0, abs=1e-9 * peak)
    assert rates == sorted(rates, reverse=True)
    constant = replace(second, schedule="constant")
    assert training.learning_rate(constant, warmup - 0.5) == params.learning_rate
    assert training.learning_rate(constant, warmup + 0.5) == pytest.approx(peak)


@pytest.mark.parametrize(
    "change",
    [
        {"importance_lr_scale": 0.0},
        {"objective": "elbo"},
        {"importance_warmup_epochs": 0},
    ],
)
def test_there_is_one_cycle_where_the_samples_do_not_change(change: dict[str, object]) -> None:
    params = replace(PARAMS, epochs=10)
    two = replace(params, objective="iwae", importance_warmup_epochs=6, importance_lr_scale=0.5)
    same = replace(two, **change)  # type: ignore[arg-type]
    for epoch in (0.5, 3.0, 6.5, 9.5):
        assert training.learning_rate(same, epoch) == training.learning_rate(params, epoch)
    assert training.learning_rate(two, 6.5) != training.learning_rate(params, 6.5)


@given(st.floats(0, 100), st.floats(0, 20), st.floats(0, 50))
def test_kl_warm_up_is_linear_and_ends_at_beta(beta: float, warmup: float, epoch: float) -> None:
    params = replace(PARAMS, beta=beta, kl_warmup_epochs=warmup)
    weight = training.kl_weight(params, epoch)
    assert weight == (beta if epoch >= warmup else pytest.approx(beta * epoch / warmup))
