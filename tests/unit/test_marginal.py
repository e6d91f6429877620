"""The estimators of log p(x) against closed forms and against each other."""

import math

import pytest
import torch

from mnist_vae import elbo, initialization, marginal, pixels
from mnist_vae import posterior as posteriors
from mnist_vae.model import VAE, ModelParams


def small(latent_dim: int = 2, scale: float = 1.0) -> VAE:
    network = VAE(ModelParams(latent_dim, (8,), "tanh", "mlp", 0))
    initialization.initialize(network, "glorot", torch.rand(784), torch.Generator().manual_seed(0))
    with torch.no_grad():
        network.decoder[-1].weight.mul_(scale)
    return network.eval()


def digits(count: int = 20) -> torch.Tensor:
    return torch.rand((count, 784), generator=torch.Generator().manual_seed(1)).round()


def iwae(network: VAE, x: torch.Tensor, samples: int, seed: int = 0) -> torch.Tensor:
    posterior = posteriors.infer(network, x)
    return marginal.iwae(network, x, posterior.mean, posterior.log_variance, samples, seed)


def test_a_decoder_that_ignores_z_has_log_px_in_closed_form() -> None:
    network, x = small(scale=0.0), digits()
    exact = elbo.log_px_z(network.decode(torch.zeros(2)), x).double()
    result = marginal.quadrature(network, x, 121, 6.0)
    torch.testing.assert_close(result.log_px, exact, atol=1e-3, rtol=0)
    assert result.truncation < 1e-6
    assert result.resolution < 1e-4
    with torch.no_grad():  # q(z|x) = p(z): every weight is p(x)
        for weight in network.encoder.parameters():
            weight.zero_()
    torch.testing.assert_close(iwae(network, x, 3), exact, atol=1e-3, rtol=0)


def test_quadrature_of_one_pixel_agrees_with_the_probit_integral() -> None:
    # One pixel whose logit is w z1: log p(x) is 784 - 1 pixels at logit 0 and one logistic-normal
    # integral, here by a fine sum in one dimension.
    network = small(scale=0.0)
    with torch.no_grad():
        network.decoder[0].weight.copy_(torch.eye(8, 2) * 1e-3)  # tanh is linear here
        network.decoder[0].bias.zero_()
        network.decoder[-1].bias.zero_()
        network.decoder[-1].weight[0, 0] = 2000.0
    x = torch.zeros((2, 784))
    x[0, 0] = 1.0
    z = torch.linspace(-8, 8, 20_001, dtype=torch.float64)
    density = torch.exp(-0.5 * z.square()) / math.sqrt(2 * math.pi)
    pixel = torch.trapezoid(density * torch.sigmoid(2 * z), z).log().item()
    expected = pixel + 783 * math.log(0.5)
    result = marginal.quadrature(network, x, 201, 6.0)
    assert result.log_px[0].item() == pytest.approx(expected, abs=2e-3)
    assert result.log_px[1].item() == pytest.approx(expected, abs=2e-3)  # by symmetry


def test_elbo_iwae_and_quadrature_are_ordered_and_meet() -> None:
    network, x = small(scale=3.0), digits(40)
    posterior = posteriors.infer(network, x)
    bound = -sum(posteriors.rate_and_distortion(network, x, posterior, 2000, 0))
    exact = marginal.quadrature(network, x, 301, 6.0).log_px
    k10 = torch.stack([iwae(network, x, 10, seed) for seed in range(20)]).mean(0)
    k5000 = iwae(network, x, 5000)
    assert bound.mean() < k10.mean() < exact.mean() + 1e-3
    assert k5000.mean().item() == pytest.approx(exact.mean().item(), abs=0.05)


def test_iwae_of_one_sample_is_the_elbo_on_average() -> None:
    network, x = small(), digits(10)
    posterior = posteriors.infer(network, x)
    bound = -sum(posteriors.rate_and_distortion(network, x, posterior, 4000, 0))
    single = torch.stack([iwae(network, x, 1, seed) for seed in range(2000)]).mean(0)
    torch.testing.assert_close(single, bound, atol=0.2, rtol=0)


@pytest.mark.parametrize(("samples", "rows"), [(7, 512), (130, 512), (130, 50), (130, 1)])
def test_chunks_hold_every_sample_once(
    monkeypatch: pytest.MonkeyPatch, samples: int, rows: int
) -> None:
    monkeypatch.setattr(marginal, "ROWS", {"cpu": rows})
    network, x = small(scale=0.0), digits(3)
    with torch.no_grad():
        for weight in network.encoder.parameters():
            weight.zero_()
    exact = elbo.log_px_z(network.decode(torch.zeros(2)), x).double()
    torch.testing.assert_close(iwae(network, x, samples), exact, atol=1e-3, rtol=0)


def test_a_coarse_grid_says_so() -> None:
    resolution = marginal.quadrature(small(scale=30.0), digits(), 9, 6.0).resolution
    assert 0.05 < resolution < math.inf


@pytest.mark.parametrize("points", [41, 101, 301])
def test_truncation_is_what_lies_just_outside(points: int) -> None:
    # p(x|z) is the same everywhere: what is left out is the prior's mass beyond the square.
    network, x = small(scale=0.0), digits()
    lost = -2 * math.log(math.erf(1.5 / math.sqrt(2)))  # of it nearly all up to 2.25
    further = -2 * math.log(math.erf(2.25 / math.sqrt(2)))
    measured = marginal.quadrature(network, x, points, 1.5).truncation
    assert measured == pytest.approx(lost - further, rel=0.3)


@pytest.mark.parametrize("ground", [0.0, 1.0, 0.5])
def test_a_light_ground_costs_no_digits(ground: float) -> None:
    """Logits of a density grow without a bound where pixels are always the same."""
    network = VAE(ModelParams(2, (8,), "tanh", "mlp", 0), pixels=pixels.CONTINUOUS_BERNOULLI)
    initialization.initialize(network, "glorot", None, torch.Generator().manual_seed(0))
    x = digits()
    x[:, 100:] = ground
    with torch.no_grad():
        network.decoder[-1].bias[100:] = 1e5 * (2 * ground - 1)
    z = torch.cartesian_prod(*2 * [torch.linspace(-6, 6, 121)])
    logits = network.decode(z).detach().double()
    value = torch.stack([pixels.CONTINUOUS_BERNOULLI.log_px_z(logits, one) for one in x.double()])
    joint = value + elbo.log_standard_normal(z.double())
    exact = joint.logsumexp(1) + 2 * math.log(12 / 120)
    result = marginal.quadrature(network, x, 121, 6.0).log_px
    torch.testing.assert_close(result, exact, atol=5e-3, rtol=0)


@pytest.mark.parametrize("points", [*range(2, 60), 600])
def test_the_surroundings_stand_for_their_area(points: int) -> None:
    z, cells = marginal.surroundings(points, 2.0)
    assert 2.0 < z.abs().amax(1).min() <= z.abs().max() < 3.0
    assert len(z) * cells * (4.0 / (points - 1)) ** 2 == pytest.approx(36 - 16)
    assert cells <= 16
