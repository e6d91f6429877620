"""The learned prior against torch.distributions, and N(0, I) as its special case."""

import copy
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Categorical, Independent, MixtureSameFamily
from torch.distributions import Normal as Gaussian

from mnist_vae import elbo, initialization, marginal, model, posterior
from mnist_vae.model import VAE, ModelParams
from mnist_vae.objective import bound
from mnist_vae.prior import Mixture, Normal
from tests.support.fitting import PARAMS

UNITS, CPU = 3, torch.device("cpu")


def mixture(components: int = 4, seed: int = 0, units: int = UNITS) -> Mixture:
    draws = torch.Generator().manual_seed(seed)
    prior = Mixture(units, components)
    prior.initialize(draws)
    with torch.no_grad():
        prior.log_variance.normal_(generator=draws).mul_(0.5)
        prior.logits.normal_(generator=draws)
    return prior


def reference(prior: Mixture) -> MixtureSameFamily:
    deviation = torch.exp(0.5 * prior.log_variance)
    return MixtureSameFamily(
        Categorical(logits=prior.logits), Independent(Gaussian(prior.mean, deviation), 1)
    )


@given(st.integers(1, 20), st.integers(0, 2**31))
def test_density_and_its_gradients_are_those_of_torchs_mixture(components: int, seed: int) -> None:
    prior = mixture(components, seed)
    z = 2 * torch.randn((5, 2, UNITS), generator=torch.Generator().manual_seed(seed))
    z.requires_grad_()
    found, expected = prior.log_density(z), reference(prior).log_prob(z)
    assert found.shape == (5, 2)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    of = [z, *prior.parameters()]
    pairs = zip(
        torch.autograd.grad(found.sum(), of), torch.autograd.grad(expected.sum(), of), strict=True
    )
    for one, other in pairs:
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-3)


def test_one_standard_component_is_the_normal_prior() -> None:
    normal, one = Normal(UNITS), Mixture(UNITS, 1)
    z = torch.randn(7, UNITS)
    torch.testing.assert_close(one.log_density(z), normal.log_density(z))
    for found, expected in zip(one.moments(CPU), normal.moments(CPU), strict=True):
        torch.testing.assert_close(found, expected)
    torch.testing.assert_close(one.energy_(z.clone()), normal.energy_(z.clone()))
    assert torch.equal(one.sample(9, 3), normal.sample(9, 3))


@pytest.mark.parametrize("prior", [mixture(), Normal(UNITS)])
@torch.no_grad()
def test_energy_is_the_density(prior: Mixture | Normal) -> None:
    z = torch.randn(7, UNITS)
    expected = -2 * prior.log_density(z) - UNITS * math.log(2 * math.pi)
    torch.testing.assert_close(prior.energy_(z.clone()), expected)


@torch.no_grad()
def test_moments_and_draws_are_those_of_the_mixture() -> None:
    prior = mixture()
    mean, deviation = prior.moments(CPU)
    expected = reference(prior)
    torch.testing.assert_close(mean, expected.mean)
    torch.testing.assert_close(deviation, expected.variance.sqrt())
    drawn = prior.sample(40_000, 0)
    torch.testing.assert_close(drawn.mean(0), mean, atol=0.05, rtol=0)
    torch.testing.assert_close(drawn.std(0), deviation, atol=0.05, rtol=0)
    assert torch.equal(prior.sample(16, 0), drawn[:16])
    assert not torch.equal(prior.sample(16, 1), drawn[:16])


@torch.no_grad()
def test_the_rate_is_estimated_without_bias() -> None:
    """Of one Gaussian as prior there is a closed form, the KL of two Gaussians."""
    prior = mixture(1)
    mean, log_variance = torch.randn(2, UNITS), torch.randn(2, UNITS) * 0.5
    noise = torch.randn((20_000, 2, UNITS), generator=torch.Generator().manual_seed(0))
    z = elbo.reparameterize(mean, log_variance, noise)
    rate = prior.rate_terms(mean, log_variance, z)
    assert rate.shape == (2, 1)
    q = Independent(Gaussian(mean, torch.exp(0.5 * log_variance)), 1)
    p = Independent(Gaussian(prior.mean, torch.exp(0.5 * prior.log_variance)), 1)
    expected = torch.distributions.kl_divergence(q, p)
    torch.testing.assert_close(rate.squeeze(-1), expected, atol=0.05, rtol=0.01)


def network(units: int = 2, components: int = 3) -> VAE:
    vae = VAE(ModelParams(units, (8,), "tanh", "mlp", components))
    initialization.initialize(vae, "torch", None, torch.Generator().manual_seed(0))
    if components:
        vae.prior = mixture(components, units=units)
    return vae.eval()


@torch.no_grad()
def test_elbo_iwae_and_quadrature_meet() -> None:
    """Three estimators of one likelihood: only with the right p(z) in each can they agree."""
    vae, x = network(), torch.rand(4, 784, generator=torch.Generator().manual_seed(1)).round()
    vae.prior.mean.mul_(2).add_(torch.tensor([9.0, 0.0]))  # far from where N(0, I) is
    mean, deviation = vae.prior.moments(CPU)
    vae.encoder[-1].bias.add_(torch.cat([mean, 2 * deviation.log()]))  # q(z|x) that p(z) covers
    vae.decoder[-1].weight.mul_(0.3)  # and a posterior without much in the tails
    found = posterior.infer(vae, x)
    lower = -sum(posterior.rate_and_distortion(vae, x, found, 3000, 0))
    tight = marginal.iwae(vae, x, found.mean, found.log_variance, 50_000, 0)
    exact = marginal.quadrature(vae, x, 200, 6.0)
    assert exact.truncation < 1e-6
    torch.testing.assert_close(tight, exact.log_px, atol=0.05, rtol=0)
    assert (lower < exact.log_px).all()
    normal = marginal.quadrature(network(components=0), x, 200, 6.0)
    assert (normal.log_px - exact.log_px).abs().min() > 1e-3  # or else it would say nothing


@pytest.mark.parametrize(
    "changes",
    [
        {"objective": "elbo"},
        {"objective": "elbo", "importance_samples": 3},
        {"objective": "iwae", "importance_samples": 5},
        {"objective": "iwae_dreg", "importance_samples": 5},
    ],
)
def test_gradient_of_the_prior_matches_finite_differences(changes: dict[str, object]) -> None:
    vae = network().double()
    x = torch.rand(3, 784, dtype=torch.float64)
    params = replace(PARAMS, **changes)  # type: ignore[arg-type]

    def value() -> torch.Tensor:
        noise = torch.Generator().manual_seed(0)
        return bound(vae, x, x, params, torch.tensor(1.0), noise)[0].mean()

    for weight in vae.prior.parameters():
        (gradient,) = torch.autograd.grad(value(), weight)
        flat = weight.data.view(-1)
        for index in range(len(flat)):
            flat[index] += 1e-5
            above = value()
            flat[index] -= 2e-5
            below = value()
            flat[index] += 1e-5
            slope = (above - below).item() / 2e-5
            assert gradient.view(-1)[index].item() == pytest.approx(slope, rel=1e-4, abs=1e-7)


def test_the_gradient_of_the_prior_through_some_samples_has_the_mean_of_all() -> None:
    vae = network()
    x = torch.rand(1, 784, generator=torch.Generator().manual_seed(1)).round().expand(100, -1)
    weights = list(vae.prior.parameters())

    def taken(some: int) -> torch.Tensor:
        params = replace(PARAMS, objective="iwae_dreg", importance_samples=8, gradient_samples=some)
        rows = []
        for seed in range(200):
            noise = torch.Generator().manual_seed(seed)
            value = bound(vae, x, x, params, torch.tensor(1.0), noise)[0].mean()
            gradients = torch.autograd.grad(value, weights)
            rows.append(torch.cat([gradient.flatten() for gradient in gradients]))
        return torch.stack(rows)

    every, some = taken(0), taken(3)
    error = ((every.var(0) + some.var(0)) / len(every)).sqrt()
    assert ((every.mean(0) - some.mean(0)).abs() < 4 * error + 1e-9).all()
    assert every.mean(0).norm() > 10 * error.norm()  # or else it would say nothing


@torch.no_grad()
@pytest.mark.parametrize(("far", "deviation", "most"), [(1.0, 0.5, 1e-4), (10.0, 0.1, 0.3)])
def test_rounding_is_what_the_docstring_says(far: float, deviation: float, most: float) -> None:
    prior = mixture(500, units=50)
    prior.mean.mul_(far)
    prior.log_variance.fill_(2 * math.log(deviation))
    z = prior.sample(1000, 0)
    largest = (prior.mean / deviation).square().sum(1).max().item()
    error = (prior.log_density(z) - copy.deepcopy(prior).double().log_density(z.double())).abs()
    assert error.max() < min(most, 3e-7 * largest + 1e-5)


def test_it_is_stored_with_the_model_and_n01_leaves_no_trace(tmp_path: Path) -> None:
    vae, path = network(), tmp_path / "vae.safetensors"
    model.save(vae, path)
    loaded = model.load(path)
    assert loaded.params == vae.params
    z = torch.randn(4, 2)
    assert torch.equal(loaded.prior.log_density(z), vae.prior.log_density(z))
    model.save(network(components=0), path)
    assert b"prior" not in path.read_bytes()
    assert model.load(path).params.prior_components == 0
