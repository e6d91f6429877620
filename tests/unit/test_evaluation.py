"""The estimators and classifiers against what must come out."""

import hashlib
import math
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch

from mnist_vae import dataset, evaluation, preprocess, probe
from mnist_vae import posterior as posteriors
from mnist_vae.errors import PipelineError
from mnist_vae.model import VAE
from mnist_vae.preprocess import PreprocessParams
from tests.support.evaluating import LABELS, PARAMS, TRAIN, digits, vae


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


def test_without_two_classes_to_learn_there_are_no_classifiers() -> None:
    one = (digits(), np.zeros(60, np.uint8))
    metrics, _ = evaluation.evaluate(vae(), digits(), LABELS, one, PARAMS)
    found = metrics["greyscale"]
    assert isinstance(found, dict)
    assert not [name for name in found if "accuracy" in name]


@pytest.mark.usefixtures("threads")
def test_no_number_of_threads_changes_a_mean_or_its_error() -> None:
    values = torch.randn(40_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = set()
    for threads in (1, 2, 3, 8):
        torch.set_num_threads(threads)
        found.add(evaluation.mean_and_error(values))
    ((mean, error),) = found
    assert mean == pytest.approx(values.mean().item(), rel=1e-12)
    assert error == pytest.approx(values.std().item() / 200, rel=1e-12)
