"""The bound's parts against torch.distributions and closed forms."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import (
    Bernoulli,
    Independent,
    MultivariateNormal,
    Normal,
    kl_divergence,
)

from mnist_vae import elbo

SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 6))
SEEDS = st.integers(0, 2**31)


def normal(shape: tuple[int, ...], seed: int, scale: float = 1.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(shape, generator=generator, dtype=torch.float64)


@given(SHAPES, SEEDS)
def test_log_px_z_is_the_bernoulli_log_probability(shape: tuple[int, int], seed: int) -> None:
    logits = normal(shape, seed, 3.0)
    x = (normal(shape, seed + 1) > 0).double()
    expected = Independent(Bernoulli(logits=logits), 1).log_prob(x)
    torch.testing.assert_close(elbo.log_px_z(logits, x), expected)


@given(SHAPES, SEEDS)
def test_log_px_z_of_intensities_is_the_negative_cross_entropy(
    shape: tuple[int, int], seed: int
) -> None:
    logits, x = normal(shape, seed, 3.0), torch.sigmoid(normal(shape, seed + 1))
    probability = torch.sigmoid(logits)
    expected = (x * probability.log() + (1 - x) * (1 - probability).log()).sum(-1)
    torch.testing.assert_close(elbo.log_px_z(logits, x), expected)


def test_log_px_z_stays_finite_and_right_at_extreme_logits() -> None:
    logits = torch.tensor([[1000.0, -1000.0]])
    assert elbo.log_px_z(logits, torch.tensor([[1.0, 0.0]])).item() == 0.0
    assert elbo.log_px_z(logits, torch.tensor([[0.0, 1.0]])).item() == -2000.0


@given(SHAPES, SEEDS)
def test_log_px_z_has_the_gradient_of_its_definition(shape: tuple[int, int], seed: int) -> None:
    logits = normal((3, *shape), seed, 3.0).requires_grad_()
    x = torch.sigmoid(normal(shape, seed + 1))
    assert torch.autograd.gradcheck(lambda given: elbo.log_px_z(given, x), logits)


@given(SHAPES, SEEDS)
def test_log_px_z_in_place_is_log_px_z(shape: tuple[int, int], seed: int) -> None:
    logits, x = normal((3, *shape), seed, 3.0), torch.sigmoid(normal(shape, seed + 1))
    torch.testing.assert_close(elbo.log_px_z_(logits.clone(), x), elbo.log_px_z(logits, x))
    torch.testing.assert_close(elbo.log_px_z_(logits.clone(), x[0]), elbo.log_px_z(logits, x[0]))


def test_softplus_is_accurate_in_single_precision() -> None:
    logits = torch.linspace(-100, 100, 20_001)
    expected = torch.nn.functional.softplus(logits.double())
    torch.testing.assert_close(elbo.softplus(logits).double(), expected, atol=1.2e-7, rtol=1e-6)


@given(SHAPES, SEEDS)
def test_kl_per_unit_is_the_divergence_from_the_prior(shape: tuple[int, int], seed: int) -> None:
    mean, log_variance = normal(shape, seed, 2.0), normal(shape, seed + 1)
    posterior = Normal(mean, torch.exp(0.5 * log_variance))
    prior = Normal(torch.zeros_like(mean), torch.ones_like(mean))
    torch.testing.assert_close(
        elbo.kl_per_unit(mean, log_variance), kl_divergence(posterior, prior)
    )


@given(SHAPES, SEEDS)
def test_gaussian_densities(shape: tuple[int, int], seed: int) -> None:
    z, mean, log_variance = (normal(shape, seed + i) for i in range(3))
    expected = Independent(Normal(mean, torch.exp(0.5 * log_variance)), 1).log_prob(z)
    torch.testing.assert_close(elbo.log_normal(z, mean, log_variance), expected)
    zeros = torch.zeros_like(z)
    torch.testing.assert_close(elbo.log_standard_normal(z), elbo.log_normal(z, zeros, zeros))


def test_reparameterize_has_the_moments_of_the_posterior() -> None:
    mean, log_variance = torch.tensor([1.0, -2.0]), torch.tensor([0.5, -1.0])
    z = elbo.reparameterize(mean, log_variance, normal((200_000, 2), 0).float())
    torch.testing.assert_close(z.mean(0), mean, atol=0.01, rtol=0)
    torch.testing.assert_close(z.var(0), log_variance.exp(), atol=0.02, rtol=0)


@given(st.integers(1, 50), SEEDS)
def test_iwae_bound_is_the_log_of_the_mean_weight(samples: int, seed: int) -> None:
    log_weights = normal((samples, 3), seed, 2.0)
    expected = torch.log(log_weights.exp().mean(0))
    torch.testing.assert_close(elbo.iwae_bound(log_weights), expected)
    assert (elbo.iwae_bound(log_weights) >= log_weights.mean(0) - 1e-12).all()  # Jensen


def test_iwae_bound_of_a_linear_gaussian_model_reaches_the_evidence() -> None:
    # z ~ N(0, 1), x|z ~ N(z, 1): x ~ N(0, 2). The exact posterior N(x/2, 1/2) makes every weight
    # equal to p(x); a posterior that is off needs many samples.
    x = torch.tensor(1.3, dtype=torch.float64)
    evidence = -0.5 * (math.log(4 * math.pi) + x.item() ** 2 / 2)
    for mean, log_variance, samples, tolerance in (
        (0.65, math.log(0.5), 1, 1e-12),
        (0.3, math.log(0.8), 200_000, 5e-3),
    ):
        m, v = torch.tensor([[mean], [log_variance]], dtype=torch.float64)
        z = elbo.reparameterize(m, v, normal((samples, 1), 1))
        log_px = -0.5 * (elbo.LOG_2PI + (x - z[:, 0]).square())
        weights = log_px + elbo.log_standard_normal(z) - elbo.log_normal(z, m, v)
        assert elbo.iwae_bound(weights[:, None]).item() == pytest.approx(evidence, abs=tolerance)


@given(st.integers(1, 4), st.integers(0, 5), SEEDS)
def test_probabilistic_pca_reaches_its_closed_form(latent: int, extra: int, seed: int) -> None:
    # Tipping & Bishop 1999: x|z ~ N(W z + m, s^2 I) has x ~ N(m, W W' + s^2 I). With orthogonal
    # columns in W the exact posterior is diagonal, and the ELBO there is log p(x).
    pixels = latent + extra
    basis, _ = torch.linalg.qr(normal((pixels, latent), seed))
    w, m, s = basis * (1 + normal((latent,), seed + 1).abs()), normal((pixels,), seed + 2), 0.7
    x = 2 * normal((pixels,), seed + 3)
    covariance = w @ w.T + s**2 * torch.eye(pixels, dtype=x.dtype)
    exact = MultivariateNormal(m, covariance).log_prob(x)
    precision = 1 + w.square().sum(0) / s**2
    mean, log_variance = (w.T @ (x - m)) / s**2 / precision, -precision.log()

    def log_px_z(z: torch.Tensor) -> torch.Tensor:
        return Normal(z @ w.T + m, s).log_prob(x).sum(-1)

    def bound(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
        spread = (w.square() * log_variance.exp()).sum() / (2 * s**2)  # of W z around its mean
        return log_px_z(mean) - spread - elbo.kl_per_unit(mean, log_variance).sum()

    def weights(mean: torch.Tensor, log_variance: torch.Tensor, samples: int) -> torch.Tensor:
        z = elbo.reparameterize(mean, log_variance, normal((samples, latent), seed + 4))
        ratio = elbo.log_normal(z, mean, log_variance) - elbo.log_standard_normal(z)
        return log_px_z(z) - ratio

    torch.testing.assert_close(bound(mean, log_variance), exact)
    of_seven = elbo.iwae_bound(weights(mean, log_variance, 7)[:, None])[0]
    torch.testing.assert_close(of_seven, exact, atol=1e-9, rtol=0)
    # Any other posterior loses exactly its divergence from this one.
    off_mean, off_variance = mean + 0.3, log_variance + 0.4
    posterior, other = (
        Normal(centre, torch.exp(0.5 * spread))
        for centre, spread in ((mean, log_variance), (off_mean, off_variance))
    )
    lost = kl_divergence(other, posterior).sum()
    torch.testing.assert_close(exact - bound(off_mean, off_variance), lost)
    many = weights(off_mean, off_variance, 20_000)
    error = (many - many.max()).exp()
    error = error.std() / error.mean() / len(many) ** 0.5
    assert abs(elbo.iwae_bound(many[:, None])[0] - exact) < 5 * error + 1e-9
