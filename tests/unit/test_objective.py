"""The objectives' gradients against finite differences and against each other."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mnist_vae import dataset, initialization, objective
from mnist_vae.model import VAE, ModelParams
from mnist_vae.objective import bound, resample
from tests.support.fitting import PARAMS


def test_one_importance_sample_at_first() -> None:
    params = replace(PARAMS, objective="iwae", importance_samples=6, importance_warmup_epochs=2)
    samples = [objective.in_epoch(params, epoch).importance_samples for epoch in range(4)]
    assert samples == [1, 1, 6, 6]
    assert objective.in_epoch(replace(params, objective="elbo"), 0).importance_samples == 6


def test_what_encoder_and_likelihood_see() -> None:
    intensities = torch.rand(50, 784)

    def observe(**change: object) -> tuple[torch.Tensor, torch.Tensor]:
        params = replace(PARAMS, **change)  # type: ignore[arg-type]
        return objective.observe(intensities, params, torch.Generator().manual_seed(0))

    seen, x = observe()
    assert seen is intensities
    assert x is intensities
    drawn, x = observe(encoder_noise=1.0)
    assert x is intensities
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    assert drawn.mean().item() == pytest.approx(intensities.mean().item(), abs=0.01)
    torch.testing.assert_close(observe(encoder_noise=0.5)[0], (intensities + drawn) / 2)
    seen, x = observe(likelihood="binarized")
    assert seen is x
    assert torch.equal(x, drawn)
    sure = torch.tensor([[0.0, 1.0] * 392])
    assert torch.equal(dataset.draw(sure, torch.Generator()), sure)


def network(seed: int = 0) -> VAE:
    vae = VAE(ModelParams(2, (4,), "tanh", "mlp", 0))
    initialization.initialize(vae, "torch", None, torch.Generator().manual_seed(seed))
    return vae


@pytest.mark.parametrize("beta", [1.0, 0.6])
@pytest.mark.parametrize(("name", "samples"), [("elbo", 1), ("elbo", 3), ("iwae", 5)])
def test_gradient_matches_finite_differences(name: str, samples: int, beta: float) -> None:
    vae = network().double()
    x = torch.rand(3, 784, dtype=torch.float64)
    params = replace(PARAMS, objective=name, importance_samples=samples)

    def value() -> torch.Tensor:
        noise = torch.Generator().manual_seed(0)
        return bound(vae, x, x, params, torch.tensor(beta), noise)[0].mean()

    for bias in (vae.encoder.get_parameter("2.bias"), vae.decoder.get_parameter("0.bias")):
        (gradient,) = torch.autograd.grad(value(), bias)
        for index in range(len(bias)):
            with torch.no_grad():
                bias[index] += 1e-5
                above = value()
                bias[index] -= 2e-5
                below = value()
                bias[index] += 1e-5
            assert gradient[index].item() == pytest.approx((above - below).item() / 2e-5, rel=1e-4)


def gradients(
    seeds: range, beta: float = 1.0, **changes: object
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of the encoder's (S, ...) and the decoder's (S, ...) biases, and the values (S,)."""
    vae = network()
    x = torch.rand(1, 784, generator=torch.Generator().manual_seed(1)).round().expand(100, -1)
    biases = [vae.encoder.get_parameter("2.bias"), vae.decoder.get_parameter("0.bias")]
    params = replace(PARAMS, **({"importance_samples": 8} | changes))  # type: ignore[arg-type]
    taken: list[list[torch.Tensor]] = []
    for seed in seeds:
        noise = torch.Generator().manual_seed(seed)
        value = bound(vae, x, x, params, torch.tensor(beta), noise)[0].mean()
        taken.append([*torch.autograd.grad(value, biases), value.detach()])
    encoder, decoder, values = (torch.stack(one) for one in zip(*taken, strict=True))
    return encoder, decoder, values


def assert_same_mean(one: torch.Tensor, other: torch.Tensor) -> None:
    error = ((one.var(0) + other.var(0)) / len(one)).sqrt()
    assert ((one.mean(0) - other.mean(0)).abs() < 4 * error).all()
    assert one.mean(0).norm() > 10 * error.norm()  # or else the comparison would say nothing


@pytest.mark.parametrize("beta", [1.0, 0.6])
def test_the_doubly_reparameterized_gradient_has_the_same_mean_and_less_noise(beta: float) -> None:
    encoder, decoder, values = gradients(range(100), beta, objective="iwae")
    doubly, same_decoder, same_values = gradients(range(100), beta, objective="iwae_dreg")
    assert torch.equal(values, same_values)
    torch.testing.assert_close(decoder, same_decoder)  # the decoder's gradient is the same
    assert_same_mean(encoder, doubly)
    assert doubly.var(0).sum() < 0.8 * encoder.var(0).sum()


@pytest.mark.parametrize("beta", [1.0, 0.6])
@pytest.mark.parametrize("name", ["iwae", "iwae_dreg"])
def test_the_gradient_through_some_samples_has_the_mean_of_all(name: str, beta: float) -> None:
    encoder, decoder, values = gradients(range(200), beta, objective=name)
    some = gradients(range(200), beta, objective=name, gradient_samples=3)
    torch.testing.assert_close(some[2], values)  # the value is that of all samples
    assert not torch.equal(some[1], decoder)
    assert_same_mean(encoder, some[0])
    assert_same_mean(decoder, some[1])


@pytest.mark.parametrize("name", ["iwae", "iwae_dreg"])
def test_as_many_gradient_samples_as_samples_are_all(name: str) -> None:
    for one, other in zip(
        gradients(range(3), objective=name),
        gradients(range(3), objective=name, gradient_samples=8),
        strict=True,
    ):
        assert torch.equal(one, other)


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 2**31))
def test_resampling_draws_each_weight_its_share(samples: int, drawn: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    weights = torch.softmax(3 * torch.randn((samples, 50), generator=generator), 0)
    chosen = resample(weights, drawn, generator)
    assert chosen.shape == (drawn, 50)
    counts = torch.zeros(weights.shape).scatter_add_(0, chosen, torch.ones(chosen.shape))
    assert ((counts - drawn * weights).abs() < 1 + 1e-4).all()


def test_resampling_is_unbiased() -> None:
    weights = torch.tensor([0.1, 0.62, 0.0, 0.28]).unsqueeze(1).expand(-1, 40_000)
    chosen = resample(weights, 2, torch.Generator().manual_seed(0))
    shares = torch.bincount(chosen.flatten(), minlength=4) / chosen.numel()
    torch.testing.assert_close(shares, weights[:, 0], atol=0.01, rtol=0)
    assert shares[2] == 0
