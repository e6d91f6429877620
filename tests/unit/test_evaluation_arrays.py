"""What `evaluate` leaves for pictures: arrays of the latent space and of images."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from mnist_vae import evaluation, initialization
from mnist_vae.initialization import StartParams
from mnist_vae.model import ModelParams
from tests.support.evaluating import LABELS, PARAMS, TRAIN, digits, vae


def test_of_a_learned_prior_units_and_pictures_go_by_its_moments() -> None:
    """A prior shifted and stretched with its decoder is the same model."""
    plain, moved = vae(), vae(components=1)
    moved.load_state_dict(plain.state_dict(), strict=False)
    shift, stretch = torch.tensor([3.0, -1.0]), torch.tensor([2.0, 0.5])
    with torch.no_grad():
        moved.prior.mean.copy_(shift)
        moved.prior.log_variance.copy_(2 * stretch.log())
        first, last = moved.decoder[0], moved.encoder[-1]
        first.bias.sub_(first.weight @ (shift / stretch))
        first.weight.div_(stretch)
        last.weight[:2].mul_(stretch[:, None])
        last.bias[:2].mul_(stretch).add_(shift)
        last.bias[2:].add_(2 * stretch.log())
    asked = replace(PARAMS, elbo_samples=400, iwae_samples=50)
    (expected, arrays), (found, others) = (
        evaluation.evaluate(one, digits(), LABELS, TRAIN, asked) for one in (plain, moved)
    )
    for name in ("test_elbo", "test_rate", "test_distortion", "test_iwae_50"):
        figures = (one["greyscale"][name] for one in (found, expected))  # type: ignore[index]
        assert next(figures) == pytest.approx(next(figures), abs=0.02)
    same = ("kl_per_unit", "mean_variance", "prior_samples", "interpolations", "reconstructions")
    for name in (*same, "manifold", "manifold_quantiles", "traversals"):
        np.testing.assert_allclose(others[name], arrays[name], atol=1e-4)
    assert np.array_equal(others["traversal_units"], arrays["traversal_units"])


@pytest.mark.parametrize("latent_dim", [1, 2, 3, 7])
def test_shapes_of_the_arrays(latent_dim: int) -> None:
    _, arrays = evaluation.evaluate(vae(latent_dim), digits(), LABELS, TRAIN, PARAMS)
    shapes = {name: array.shape for name, array in arrays.items()}
    assert shapes["latent_mean"] == (60, latent_dim)
    assert shapes["kl_per_unit"] == shapes["active"] == shapes["mean_variance"] == (latent_dim,)
    assert shapes["originals"] == shapes["reconstructions"] == (20, 784)
    assert shapes["prior_samples"] == (6, 784)
    assert shapes["manifold"] == ((5, 5, 784) if latent_dim > 1 else (1, 5, 784))
    assert shapes["manifold_quantiles"] == shapes["manifold"]
    assert shapes["interpolations"] == (6, 9, 784)
    assert shapes["traversals"] == (latent_dim, 13, 784)
    assert shapes["extremes"] == shapes["extreme_reconstructions"] == (2, 8, 784)
    assert arrays["extreme_elbo"][0, 0] == arrays["elbo_per_image"].min()
    assert arrays["picture_labels"].tolist() == sorted(list(range(10)) * 2)
    images = ("interpolations", "traversals", "extreme_reconstructions", "manifold_quantiles")
    for name in ("originals", "reconstructions", "prior_samples", "manifold", *images):
        assert arrays[name].min() >= 0
        assert arrays[name].max() <= 1


def test_the_grid_goes_right_along_its_first_unit_and_up_along_its_second() -> None:
    network = vae(3)
    x = digits()
    with torch.no_grad():
        # Make unit 1 constant, so that units 0 and 2 are the most active ones.
        network.encoder[-1].weight[1] = 0
    _, arrays = evaluation.evaluate(network, x, LABELS, TRAIN, PARAMS)
    assert arrays["manifold_units"].tolist() == [0, 2]
    assert arrays["manifold_axis"].tolist() == [-2, -1, 0, 1, 2]
    right_top = torch.tensor([2.0, 0.0, 2.0])
    left_bottom = torch.tensor([-2.0, 0.0, -2.0])
    left_top = torch.tensor([-2.0, 0.0, 2.0])
    for (row, column), z in {(0, 4): right_top, (4, 0): left_bottom, (0, 0): left_top}.items():
        expected = torch.sigmoid(network.decode(z)).detach().numpy()
        np.testing.assert_allclose(arrays["manifold"][row, column], expected, atol=1e-6)


def test_picture_seed_moves_the_pictures_and_no_figure() -> None:
    first, before = evaluation.evaluate(vae(), digits(), LABELS, TRAIN, PARAMS)
    second, after = evaluation.evaluate(
        vae(), digits(), LABELS, TRAIN, replace(PARAMS, picture_seed=1)
    )
    assert first == second
    assert not np.array_equal(before["prior_samples"], after["prior_samples"])
    assert np.array_equal(before["manifold"], after["manifold"])


@pytest.mark.parametrize(
    ("labels", "each"),
    [(None, 20), (LABELS % 3, 6), (LABELS, 2), (LABELS + 10, 2), (LABELS % 3 + 11, 6)],
)
def test_images_of_another_size_with_any_classes_or_none(
    labels: np.ndarray | None, each: int
) -> None:
    x = torch.rand((60, 25), generator=torch.Generator().manual_seed(1))
    network = initialization.new(
        ModelParams(2, (8,), "tanh", "mlp", 0),
        StartParams("greyscale", "glorot", "zero", 0),
        x.mean(0),
    )
    settings = replace(PARAMS, likelihood="binarized")
    metrics, arrays = evaluation.evaluate(network, x.round(), labels, (x, labels), settings)
    found = metrics["binarized"]
    assert isinstance(found, dict)
    assert ("labels" in arrays) == ("test_knn_accuracy" in found) == (labels is not None)
    bits = found["test_elbo_bits_per_dimension"]
    assert bits == pytest.approx(-found["test_elbo"] / (25 * math.log(2)))
    assert arrays["manifold"].shape == (5, 5, 25)
    shown = [0] if labels is None else sorted(set(labels))  # they fill ten columns of two images
    assert arrays["picture_labels"].tolist() == [kind for kind in shown for _ in range(each)]
