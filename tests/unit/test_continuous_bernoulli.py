"""The continuous Bernoulli against numerical integration, torch's own, and double precision."""

import math

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.integrate import quad
from torch.distributions import ContinuousBernoulli, Independent

from mnist_vae import continuous_bernoulli as cb
from mnist_vae import pixels

LOGITS = st.floats(allow_nan=False, allow_infinity=False, width=32)
NEARBY = st.floats(-3, 3, width=32)
UNIT = st.floats(0, 1, width=32)


def density(logit: float, x: float) -> float:
    point = torch.tensor([logit], dtype=torch.float64), torch.tensor([x], dtype=torch.float64)
    return cb.log_density(*point).exp().item()


@pytest.mark.parametrize("logit", [-300, -20, -3, -1.001, -0.999, -0.1, 0, 1e-6, 0.5, 1, 2, 9, 90])
def test_it_is_a_density_with_this_mean_by_numerical_integration(logit: float) -> None:
    mass, _ = quad(lambda x: density(logit, x), 0, 1, epsabs=1e-10, points=[0.01, 0.99])
    mean, _ = quad(lambda x: x * density(logit, x), 0, 1, epsabs=1e-10, points=[0.01, 0.99])
    assert mass == pytest.approx(1, abs=1e-7)
    found = cb.mean(torch.tensor(logit, dtype=torch.float64)).item()
    assert found == pytest.approx(mean, abs=1e-7)
    if abs(logit) > 0.1:
        assert abs(found - torch.sigmoid(torch.tensor(float(logit))).item()) > 0.003  # not lambda


@given(st.integers(0, 2**31))
def test_it_is_torchs_distribution(seed: int) -> None:
    draws = torch.Generator().manual_seed(seed)
    logits = 4 * torch.randn((3, 7), generator=draws, dtype=torch.float64)
    x = torch.rand((3, 7), generator=draws, dtype=torch.float64)
    torchs = ContinuousBernoulli(logits=logits)
    torch.testing.assert_close(
        cb.log_density(logits, x), Independent(torchs, 1).log_prob(x), atol=1e-6, rtol=1e-6
    )
    torch.testing.assert_close(cb.mean(logits), torchs.mean, atol=1e-6, rtol=1e-6)
    partition = torchs.log_prob(torch.zeros(()).double()).neg()
    torch.testing.assert_close(cb.log_partition(logits), partition, atol=1e-6, rtol=1e-6)


def peak(size: float) -> float:
    """log h(a) in double precision, where it is well-conditioned."""
    return math.log(size / -math.expm1(-size)) if size else 0.0


def distance(size: float) -> float:
    if size < 1e-2:
        return 0.5 - size / 12 + size**3 / 720
    return 1 / size - 1 / math.expm1(min(size, 700))


@given(st.one_of(LOGITS, NEARBY), UNIT)
@example(0.0, 0.5)
@example(1.0, 1.0)
@example(float(np.nextafter(np.float32(1), np.float32(0))), 0.0)
@example(132105.0, 0.9921875)  # the difference of two large numbers
@example(float(np.finfo(np.float32).max), 1.0)
@example(-float(np.finfo(np.float32).max), 1.0)
@example(float(np.finfo(np.float32).smallest_subnormal), 0.5)
def test_value_and_gradient_are_right_for_all_single_precision_logits(
    logit: float, x: float
) -> None:
    size, from_peak = abs(logit), (1 - x if logit > 0 else x)
    logits = torch.tensor([logit], requires_grad=True)
    value = cb.log_px_z(logits, torch.tensor([x]))
    value.backward()
    expected = peak(size) - size * from_peak
    assert value.isfinite()
    rounding = float(np.finfo(np.float32).eps) * size  # of logit * x, from which as much is taken
    assert value.item() == pytest.approx(expected, rel=1e-6, abs=1e-6 + rounding)
    mean = distance(size) if logit <= 0 else 1 - distance(size)
    assert logits.grad is not None
    sign = -1 if logit > 0 else 1
    assert logits.grad.item() == pytest.approx(
        sign * (from_peak - distance(size)), rel=2e-6, abs=2e-7
    )
    assert cb.mean(torch.tensor(logit)).item() == pytest.approx(mean, rel=2e-6, abs=1e-7)
    without = cb.log_density(torch.tensor([logit]), torch.tensor([x]))
    assert torch.equal(without, value.detach())


def test_values_and_means_go_smoothly_from_the_series_to_the_formula() -> None:
    sizes = torch.linspace(0.9, 1.1, 20_001)
    exact = torch.tensor([[peak(size), distance(size)] for size in sizes.tolist()])
    torch.testing.assert_close(cb.log_peak(sizes), exact[:, 0], atol=3e-7, rtol=0)
    torch.testing.assert_close(cb.mean_distance(sizes), exact[:, 1], atol=3e-7, rtol=0)


@given(st.integers(0, 2**31))
def test_the_gradient_is_that_of_the_value(seed: int) -> None:
    draws = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn((2, 3, 4), generator=draws, dtype=torch.float64)
    x = torch.rand((3, 4), generator=draws, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda given: cb.log_px_z(given, x), logits.requires_grad_())


def test_what_is_not_a_number_stays_so() -> None:
    nan = torch.tensor([math.nan], requires_grad=True)
    value = cb.log_px_z(nan, torch.tensor([0.5]))
    value.backward()
    assert value.isnan()
    assert nan.grad is not None and nan.grad.isnan().all()


@given(st.floats(1e-3, 1 - 1e-3))
@example(0.5)
def test_a_logit_has_the_mean_that_it_is_of(mean: float) -> None:
    found = cb.logit(torch.tensor([mean]))
    assert cb.mean(found).item() == pytest.approx(mean, rel=1e-5)


@given(st.floats(-80, 80), UNIT)
def test_both_distributions_are_the_same_kind_of_family(logit: float, x: float) -> None:
    point, value = torch.tensor([[logit]]).double(), torch.tensor([[x]]).double()
    for kind in (pixels.BERNOULLI, pixels.CONTINUOUS_BERNOULLI):
        inside = (x * point - kind.log_partition(point)).sum(-1)
        torch.testing.assert_close(kind.log_px_z(point, value), inside, atol=1e-6, rtol=1e-6)
        torch.testing.assert_close(kind.log_px_z_(point.clone(), value), inside, atol=1e-6, rtol=0)
        near = point.clamp(-5, 5)
        torch.testing.assert_close(kind.logit(kind.mean(near)), near, atol=1e-5, rtol=0)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("images", [1, 41, 42, 84, 128, 1000])
def test_every_number_of_threads_gives_the_same_bytes(images: int) -> None:
    draws = torch.Generator().manual_seed(images)
    logits = 4 * torch.randn((images, 784), generator=draws)
    x = torch.rand((images, 784), generator=draws)

    def computed() -> list[torch.Tensor]:
        given = logits.clone().requires_grad_()
        value = cb.log_px_z(given, x)
        value.sum().backward()
        assert given.grad is not None
        return [value.detach(), given.grad, cb.mean(logits), cb.log_partition(logits)]

    torch.set_num_threads(1)
    expected = computed()
    for count in (2, 3, 4, 5, 7, 8, 16):
        torch.set_num_threads(count)
        assert all(map(torch.equal, computed(), expected)), count
