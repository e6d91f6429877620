"""The estimators against what must come out, and the pictures' arrays against their description."""

import hashlib
import math
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch

from mnist_vae import dataset, evaluation, initialization, preprocess, probe
from mnist_vae import posterior as posteriors
from mnist_vae.errors import PipelineError
from mnist_vae.evaluation import EvaluationParams
from mnist_vae.initialization import StartParams
from mnist_vae.model import VAE, ModelParams
from mnist_vae.preprocess import PreprocessParams

PARAMS = EvaluationParams(
    likelihood="greyscale",
    evaluation_seed=0,
    elbo_samples=4,
    iwae_samples=0,
    quadrature_points=0,
    quadrature_extent=5.0,
    knn_neighbours=3,
    picture_seed=0,
    manifold_size=5,
    manifold_extent=2.0,
    reconstructions=2,
    prior_samples=6,
)
LABELS = np.arange(60, dtype=np.uint8) % 10


def vae(latent_dim: int = 2, hidden: int = 8, components: int = 0) -> VAE:
    network = VAE(ModelParams(latent_dim, (hidden,), "tanh", "mlp", components))
    initialization.initialize(network, "glorot", None, torch.Generator().manual_seed(0))
    return network.eval()


def digits() -> torch.Tensor:
    return torch.rand((60, 784), generator=torch.Generator().manual_seed(1))


TRAIN = (digits(), LABELS)


def blind(mean_image: torch.Tensor) -> VAE:
    """A model that ignores the image and the latent vector, and draws `mean_image`."""
    network = vae()
    with torch.no_grad():
        for weight in network.parameters():
            weight.zero_()
        network.decoder[-1].bias.copy_(torch.logit(mean_image.clamp(1e-7, 1 - 1e-7)))
    return network


def test_elbo_is_minus_rate_and_distortion_with_standard_errors() -> None:
    metrics, arrays = evaluation.evaluate(vae(), digits(), LABELS, TRAIN, PARAMS)
    test = metrics["greyscale"]
    assert isinstance(test, dict)
    assert test["test_elbo"] == pytest.approx(-(test["test_rate"] + test["test_distortion"]))
    per_image = arrays["elbo_per_image"].astype(float)
    assert test["test_elbo"] == pytest.approx(per_image.mean())
    assert test["test_elbo_se"] == pytest.approx(per_image.std(ddof=1) / math.sqrt(60), rel=1e-4)
    assert arrays["kl_per_unit"].sum() == pytest.approx(test["test_rate"], rel=1e-5)


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


def test_evaluation_repeats_and_more_samples_agree() -> None:
    network, x = vae(), digits()
    first = evaluation.evaluate(network, x, LABELS, TRAIN, PARAMS)
    again = evaluation.evaluate(network, x, LABELS, TRAIN, PARAMS)
    assert first[0] == again[0]
    assert all(np.array_equal(first[1][name], again[1][name]) for name in first[1])
    many, _ = evaluation.evaluate(network, x, LABELS, TRAIN, replace(PARAMS, elbo_samples=400))
    assert many["greyscale"]["test_elbo"] == pytest.approx(  # type: ignore[index]
        first[0]["greyscale"]["test_elbo"],  # type: ignore[index]
        abs=0.5,
    )


def test_bounds_of_the_likelihood_are_measured_where_asked_for() -> None:
    asked = replace(PARAMS, iwae_samples=50, quadrature_points=81, likelihood="binarized")
    metrics, _ = evaluation.evaluate(vae(), digits().round(), LABELS, TRAIN, asked)
    test = metrics["binarized"]
    assert isinstance(test, dict)
    assert (
        test["test_elbo"] < test["test_iwae_50"] < test["test_log_px"] + 3 * test["test_iwae_50_se"]
    )
    assert test["quadrature_resolution"] < 0.01
    for upper, lower in combinations(("log_px", "iwae_50", "elbo"), 2):
        gap = test[f"test_{upper}_minus_{lower}"]
        assert gap == pytest.approx(test[f"test_{upper}"] - test[f"test_{lower}"])
        assert test[f"test_{upper}_minus_{lower}_se"] > 0
    for name in ("elbo", "iwae_50", "log_px"):
        bits = test[f"test_{name}_bits_per_dimension"]
        assert -784 * bits == pytest.approx(test[f"test_{name}"] / math.log(2))
    with pytest.raises(PipelineError, match="latent_dim 2"):
        evaluation.evaluate(vae(3), digits(), LABELS, TRAIN, asked)


def test_metrics_stand_under_their_protocol_and_name_its_test_set() -> None:
    binarized = replace(PARAMS, likelihood="binarized")
    x = digits().round()
    metrics, _ = evaluation.evaluate(vae(), x, LABELS, TRAIN, binarized)
    assert list(metrics) == ["binarized"]
    test = metrics["binarized"]
    assert isinstance(test, dict)
    assert test["test_set_sha256"] == hashlib.sha256(bytes(map(int, x.flatten()))).hexdigest()
    greyscale, _ = evaluation.evaluate(vae(), digits(), LABELS, TRAIN, PARAMS)
    # A density of intensities it is not: no bits, and its test set is the files'.
    assert not [name for name in greyscale["greyscale"] if "bits" in name or "sha" in name]  # type: ignore[attr-defined]


def test_classifiers_on_the_latent_means_follow_the_classes(
    mnist_raw: Path, tmp_path: Path
) -> None:
    # An untrained encoder is a random projection, which keeps distances: far better than chance.
    preprocess.write(preprocess.preprocess(PreprocessParams(55_000, 0, 0), mnist_raw), tmp_path)
    x, labels = dataset.load_intensities("test", tmp_path), dataset.load_labels("test", tmp_path)
    train = dataset.load_intensities("train", tmp_path), dataset.load_labels("train", tmp_path)
    network = vae(32, 200)
    for likelihood in ("greyscale", "binarized"):
        asked = replace(PARAMS, likelihood=likelihood)
        metrics, _ = evaluation.evaluate(network, x[:1000], labels[:1000], train, asked)
        test = metrics[likelihood]
        assert isinstance(test, dict)
        assert test["test_knn_accuracy"] > 0.6
        assert test["test_linear_probe_accuracy"] > 0.6
        shuffled = train[0], np.roll(train[1], 1)
        chance, _ = evaluation.evaluate(network, x[:1000], labels[:1000], shuffled, asked)
        assert chance[likelihood]["test_knn_accuracy"] < 0.2  # type: ignore[index]
        assert chance[likelihood]["test_linear_probe_accuracy"] < 0.2  # type: ignore[index]


def test_the_confusion_is_that_of_the_measured_accuracy() -> None:
    metrics, arrays = evaluation.evaluate(vae(), digits(), LABELS, TRAIN, PARAMS)
    right = float((arrays["knn_predicted"] == LABELS).mean())
    assert metrics["greyscale"]["test_knn_accuracy"] == right  # type: ignore[index]


def test_knn_is_a_vote_and_takes_what_there_is() -> None:
    train = np.array([[0.0], [1.0], [1.1], [9.0]], np.float32)
    votes = np.array([3, 5, 5, 7], np.uint8)
    test, labels = np.array([[0.1], [9.1]], np.float32), np.array([3, 7], np.uint8)
    accuracy = {
        k: probe.accuracies(probe.predictions(train, votes, test, k), labels)["test_knn_accuracy"]
        for k in (1, 3, 1000)
    }
    assert accuracy == {1: 1.0, 3: 0.0, 1000: 0.0}


def test_constants_of_the_test_set(mnist_raw: Path, tmp_path: Path) -> None:
    # The two ends of the greyscale scale: one image for every digit, and the entropy of the
    # pixels themselves, which no model can beat.
    preprocess.write(preprocess.preprocess(PreprocessParams(10_000, 0, 0), mnist_raw), tmp_path)
    x = dataset.load_observations("test", "greyscale", tmp_path)
    mean_image = dataset.load_intensities("train", tmp_path).mean(0)
    labels = dataset.load_labels("test", tmp_path)
    metrics, _ = evaluation.evaluate(blind(mean_image), x, labels, TRAIN, PARAMS)
    test = metrics["greyscale"]
    assert isinstance(test, dict)
    assert test["test_elbo"] == pytest.approx(-205.83, abs=0.1)
    assert test["test_rate"] == test["active_units"] == 0
    entropy = torch.special.entr(x.double()) + torch.special.entr(1 - x.double())
    assert entropy.sum(1).mean().item() == pytest.approx(45.53, abs=0.005)


@pytest.mark.parametrize(
    ("points", "extent", "message"),
    [
        (2, 5.0, r"quadrature_points 2 .* its resolution is .*; take more quadrature_points"),
        (41, 0.5, r"extent 0\.5 does not give log p\(x\): its truncation is .* larger quadrature"),
    ],
)
def test_a_grid_that_does_not_give_the_likelihood_is_refused(
    points: int, extent: float, message: str
) -> None:
    asked = replace(PARAMS, quadrature_points=points, quadrature_extent=extent)
    with pytest.raises(PipelineError, match=message):
        evaluation.evaluate(vae(), digits().round(), LABELS, TRAIN, asked)


@pytest.mark.parametrize("broken", [math.inf, math.nan])
def test_a_grid_that_misses_the_codes_is_refused(broken: float) -> None:
    network = vae()
    with torch.no_grad():
        network.decoder.get_parameter("0.weight").mul_(100)  # corners that explain no image
        network.decoder.get_parameter("2.weight").mul_(100 if broken == math.inf else broken)
    coarse = replace(PARAMS, quadrature_points=2, quadrature_extent=20.0)
    with pytest.raises(PipelineError, match=f"its resolution is {broken} nats, above"):
        evaluation.log_likelihood(
            network,
            digits().round(),
            posteriors.infer(network, digits()),
            torch.zeros(len(digits())),
            coarse,
        )


def test_the_held_out_binarization_is_the_stored_one(mnist_raw: Path, tmp_path: Path) -> None:
    preprocess.write(preprocess.preprocess(PreprocessParams(100, 0, 7), mnist_raw), tmp_path)
    for split, images in (("validation", 100), ("test", 10_000)):
        x = dataset.load_observations(split, "binarized", tmp_path)
        intensities = dataset.load_intensities(split, tmp_path)
        assert x.shape == intensities.shape == (images, 784)
        assert x.dtype == torch.float32
        assert set(x.unique().tolist()) == {0.0, 1.0}
        certain = (intensities == 0) | (intensities == 1)
        assert torch.equal(x[certain], intensities[certain])
        # as often white as their intensity says, within five standard errors
        error = (intensities * (1 - intensities)).sum().sqrt() / intensities.numel()
        assert abs((x - intensities).mean()) < 5 * error
        assert torch.equal(x, dataset.load_observations(split, "binarized", tmp_path))
        grey = dataset.load_observations(split, "greyscale", tmp_path)
        assert torch.equal(grey, intensities)


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


@pytest.mark.parametrize(("labels", "classes"), [(None, 0), (LABELS % 3, 3), (LABELS, 14)])
def test_images_of_another_size_with_any_classes_or_none(
    labels: np.ndarray | None, classes: int
) -> None:
    x = torch.rand((60, 25), generator=torch.Generator().manual_seed(1))
    network = initialization.new(
        ModelParams(2, (8,), "tanh", "mlp", 0),
        StartParams("greyscale", "glorot", "zero", 0),
        x.mean(0),
    )
    settings = replace(PARAMS, likelihood="binarized")
    metrics, arrays = evaluation.evaluate(
        network, x.round(), labels, (x, labels), settings, classes
    )
    found = metrics["binarized"]
    assert isinstance(found, dict)
    assert ("labels" in arrays) == ("test_knn_accuracy" in found) == (labels is not None)
    bits = found["test_elbo_bits_per_dimension"]
    assert bits == pytest.approx(-found["test_elbo"] / (25 * math.log(2)))
    assert arrays["manifold"].shape == (5, 5, 25)
    each = {0: 20, 3: 6, 14: 2}[classes]  # the first ten classes fill ten columns of two images
    shown = [0] if labels is None else sorted(set(labels[labels < 10]))
    assert arrays["picture_labels"].tolist() == [kind for kind in shown for _ in range(each)]


def test_without_two_classes_to_learn_there_are_no_classifiers() -> None:
    one = (digits(), np.zeros(60, np.uint8))
    metrics, _ = evaluation.evaluate(vae(), digits(), LABELS, one, PARAMS)
    found = metrics["greyscale"]
    assert isinstance(found, dict)
    assert not [name for name in found if "accuracy" in name]
