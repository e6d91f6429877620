"""Where labels go, and how many bins there are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_vae import figure
from mnist_vae.figure import apart


@given(st.integers(0, 2**31), st.integers(2, 10))
def test_labels_are_moved_apart_and_no_further(seed: int, count: int) -> None:
    places = np.random.default_rng(seed).uniform(0, 10, (count, 2))
    moved = apart(places, 0.4)
    gaps = np.linalg.norm(moved[:, None] - moved, axis=-1) + 10 * np.eye(count)
    assert gaps.min() > 0.39
    np.testing.assert_allclose(moved.mean(0), places.mean(0))  # pairs move by the same
    alone = np.linalg.norm(places[:, None] - places, axis=-1) + 10 * np.eye(count)
    if alone.min() >= 0.4:
        assert (moved == places).all()


def test_labels_at_one_place_are_moved_apart() -> None:
    moved = apart(np.zeros((2, 2)), 1.0)
    np.testing.assert_allclose(moved, [[-0.5, 0], [0.5, 0]])


@pytest.mark.parametrize(("count", "expected"), [(2, 8), (40, 13), (1600, 80), (10_000, 80)])
def test_few_values_have_few_bins(count: int, expected: int) -> None:
    assert figure.bins(count, 80) == expected
