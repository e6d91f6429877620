"""Walks through the latent space go where they say, and shift no other draw."""

from statistics import NormalDist

import numpy as np
import pytest
import torch
from torch import Tensor

from mnist_vae import walks


def codes(z: Tensor) -> Tensor:
    """A decoder whose images are the codes themselves."""
    return z


@pytest.mark.parametrize("labels", [np.arange(40) % 3, np.zeros(40), None])
def test_interpolations_go_straight_from_one_code_to_that_of_another_class(
    labels: np.ndarray | None,
) -> None:
    mean = torch.randn(40, 5, generator=torch.Generator().manual_seed(0))
    names = torch.arange(40.0)[:, None]
    found = walks.interpolations(codes, names, labels, mean, seed=3)
    walked, ends = found["interpolations"], found["interpolation_ends"]
    assert walked.shape == (walks.WALKS, walks.STEPS, 5)
    assert ends.shape == (walks.WALKS, 2, 1)
    chosen = ends.squeeze(-1).int().numpy()
    assert len(np.unique(chosen)) == chosen.size
    if labels is not None and labels.any():
        assert (labels[chosen[:, 0]] != labels[chosen[:, 1]]).all()
    torch.testing.assert_close(walked[:, 0], mean[chosen[:, 0]])
    torch.testing.assert_close(walked[:, -1], mean[chosen[:, 1]])
    steps = walked.diff(dim=1)
    torch.testing.assert_close(steps, steps.mean(1, keepdim=True).expand_as(steps))
    again = walks.interpolations(codes, names, labels, mean, seed=4)["interpolation_ends"]
    assert not torch.equal(again, ends)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_images_have_as_many_interpolations_as_there_are_pairs(count: int) -> None:
    x = torch.rand(count, 4)
    found = walks.interpolations(codes, x, np.arange(count), x, seed=0)
    assert len(found["interpolations"]) == max(1, count // 2)


def test_traversals_move_one_unit_and_go_by_kl() -> None:
    kl = torch.tensor([0.5, 2.0, 0.0, 1.0])
    found = walks.traversals(codes, kl)
    assert found["traversal_units"].tolist() == [1, 3, 0, 2]
    axis = found["traversal_axis"]
    assert axis.tolist() == [-3, -2.5, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2, 2.5, 3]
    for walk, unit in zip(found["traversals"], found["traversal_units"].tolist(), strict=True):
        expected = torch.zeros(13, 4)
        expected[:, unit] = axis
        assert torch.equal(walk, expected)
    assert walks.traversals(codes, torch.rand(30))["traversals"].shape == (10, 13, 30)


def test_the_grid_of_quantiles_is_equally_likely_under_the_prior() -> None:
    found = walks.quantiles(codes, torch.tensor([0, 2]), 3, 4, torch.device("cpu"))
    assert found.shape == (4, 4, 3)
    places = np.vectorize(NormalDist().cdf)(found.numpy())
    assert places[0, :, 0] == pytest.approx([0.125, 0.375, 0.625, 0.875], abs=1e-6)
    assert places[:, 0, 2] == pytest.approx([0.875, 0.625, 0.375, 0.125], abs=1e-6)  # upwards
    assert (found[..., 1] == 0).all()
    assert walks.quantiles(codes, torch.tensor([0]), 1, 4, torch.device("cpu")).shape == (1, 4, 1)


@pytest.mark.parametrize("count", [3, 100])
def test_extremes_are_the_lowest_and_the_highest(count: int) -> None:
    per_image = torch.randn(count, dtype=torch.float64)
    x = torch.arange(float(count))[:, None]
    found = walks.extremes(codes, x, -x, per_image)
    kept = min(count, walks.EXTREMES)
    ordered = per_image.sort().values
    assert torch.equal(found["extreme_elbo"], torch.stack([ordered[:kept], ordered[-kept:]]))
    shown = found["extremes"].squeeze(-1).long()
    assert torch.equal(per_image[shown], found["extreme_elbo"])
    assert torch.equal(found["extreme_reconstructions"], -found["extremes"])
