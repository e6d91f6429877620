"""A search's space is checked before any work, and every point of it is one that it holds."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_vae.errors import PipelineError
from mnist_vae.experiments.snapshot import workspace
from mnist_vae.search import space, trials
from mnist_vae.search.space import Choices, Range, Space
from tests.support import settings

BASE = settings.SETTINGS


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    settings.lay_out(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(text: str, **base: object) -> Space:
    file = Path("some.yaml")
    file.write_text(text)
    return space.read(file, {**BASE, **base}, workspace(Path()))


def test_choices_ranges_and_what_is_set_in_all_trials() -> None:
    found = read(
        "learning_rate: {low: 1e-4, high: 1e-2, log: true}\nbatch_size: [64, 128]\n"
        "hidden_sizes: [[512, 512], [256]]\nlatent_dim: {low: 2, high: 32, step: 10}\n"
        "epochs: 10\nschedule: [constant]\n"
    )
    assert found.varied == {
        "learning_rate": Range(1e-4, 1e-2, log=True, step=None, whole=False),
        "batch_size": Choices((64, 128)),
        "hidden_sizes": Choices(([512, 512], [256])),
        "latent_dim": Range(2, 32, log=False, step=10, whole=True),
    }
    assert found.others == {"epochs": 10, "schedule": "constant"}
    assert found.varied["latent_dim"].values == (2, 12, 22, 32)
    assert found.points() is None  # a range of any numbers
    one = read("hidden_sizes: [64]\nbeta: [1, 2]\n")  # one value that is a list
    assert one.others == {"hidden_sizes": [64]}
    assert list(one.points() or ()) == [{"beta": 1}, {"beta": 2}]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("learning_rat: [1]", "unknown key 'learning_rat'; did you mean learning_rate?"),
        ("latent_dim: [2, 0]", "latent_dim is 0; it must be a whole number from 1 to"),
        ("latent_dim: {low: 2, high: 4.5}", "latent_dim is 4.5; it must be a whole number"),
        ("learning_rate: {low: 0, high: 1}", "learning_rate is 0; it must be a number above 0"),
        ("learning_rate: {low: x, high: 1}", "learning_rate is 'x'; it must be a number above 0"),
        ("activation: [relu, gelu]", "activation is 'gelu'; it must be relu or tanh"),
        ("activation: {low: 1, high: 2}", "must be a list, since it is no number"),
        ("batch_size: {low: 64}", "must have low and high, and log or step if wanted"),
        ("batch_size: {low: 64, high: 128, by: 2}", "must have low and high"),
        ("batch_size: {low: 128, high: 64}", "low must be below high"),
        ("batch_size: {low: 64, high: 128, step: 60}", "step must be a whole number that divides"),
        ("batch_size: {low: 64, high: 128, step: 0.5}", "step must be a whole number"),
        ("beta: {low: 0, high: 1, step: 0}", "step must be a number that divides high - low"),
        ("beta: {low: 0, high: 1, log: true}", "with log: true, low must be above 0"),
        ("beta: {low: 1, high: 2, log: 1}", "log must be true or false"),
        ("beta: []", "must hold at least one value"),
        ("beta: [1, 2, 1.0]", "must hold each value once"),
        ("epochs: 3", "nothing varies"),
        ("{}", "nothing varies"),
        ("seed: [0, 1]", "seed is a seed: the best of several is luck"),
        ("split_seed: {low: 0, high: 9}", "is a seed"),
        ("validation_images: [100, 1000]", "figures on other images cannot be compared"),
        ("likelihood: [greyscale, binarized]", "figures on other images"),
        ("threads: [1, 2]", "how a training is computed"),
        ("elbo_samples: [1, 16]", "validation figures do not depend on it"),
        ("plot_dpi: {low: 50, high: 99}", "validation figures do not depend on it"),
        ("beta: [1, 2]\nvalidation_images: 0", "validation_images is 0; a search needs"),
        ("[1]", "must hold `key: value` lines"),
        ("beta: [", "is not valid YAML"),
    ],
)
def test_what_is_wrong_is_one_line(text: str, says: str) -> None:
    with pytest.raises(PipelineError, match=re.escape(says)) as caught:
        read(text)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("some.yaml")


def test_without_validation_images_there_is_no_search() -> None:
    with pytest.raises(PipelineError, match="validation_images is 0"):
        read("beta: [1, 2]", validation_images=0)
    with pytest.raises(PipelineError, match="does not exist"):
        space.read(Path("missing.yaml"), BASE, workspace(Path()))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("greyscale/test_elbo", "greyscale/test_elbo is no validation figure"),
        ("test_elbo", "is no validation figure"),
        ("greyscale/train_elbo", "is no validation figure"),
        ("validation_elbo", "is no validation figure"),
        ("binarized/validation_elbo", "is not one of this space; a search takes greyscale/val"),
        ("greyscale/validation_rate", "is not one of this space"),
    ],
)
def test_only_validation_figures_choose(name: str, says: str) -> None:
    with pytest.raises(PipelineError, match=says):
        trials.metric_of(name, "greyscale")
    assert trials.metric_of(None, "greyscale") == "validation_elbo"
    known = "binarized/validation_distortion"
    assert trials.metric_of(known, "binarized") == "validation_distortion"


def test_an_experiment_is_of_the_space_or_not() -> None:
    found = read("beta: {low: 0, high: 2}\nbatch_size: [64, 128]\nepochs: 10\n")
    inside = {**BASE, "beta": 2, "batch_size": 64, "epochs": 10}
    assert found.of(inside) == {"beta": 2, "batch_size": 64}
    for change in ({"beta": 2.1}, {"batch_size": 65}, {"epochs": 30}, {"seed": 9}):
        assert found.of({**inside, **change}) is None
    assert found.of({key: value for key, value in inside.items() if key != "beta"}) is None
    assert found.experiment({"beta": 2.0, "batch_size": 64}) == "batch_size-64_beta-2_epochs-10"
    settings_of = found.settings({"beta": 1.0, "batch_size": 128})
    assert settings_of == ["epochs=10"]  # what differs from the commit


@st.composite
def ranges(draw: st.DrawFn) -> Range:
    low = draw(st.floats(0, 1, allow_subnormal=False))
    kind = draw(st.sampled_from(["plain", "log", "step"]))
    if kind == "step":
        step = draw(st.floats(1e-4, 1))
        return Range(low, low + draw(st.integers(1, 3000)) * step, False, step, False)
    if kind == "log":
        low = max(low, 1e-6)
    return Range(low, low + draw(st.floats(1e-5, 10)), kind == "log", None, False)


@given(ranges(), st.floats(0, 1))
def test_what_a_range_gives_lies_in_it(domain: Range, part: float) -> None:
    if domain.steps is None:
        value = min(domain.low + part * (domain.high - domain.low), domain.high)
        given_out = domain.rounded(value)
    else:
        index = round(part * domain.steps)
        value, given_out = domain.low + index * domain.step, domain.at(index)
        assert domain.index(given_out) == index
    assert given_out in domain
    assert abs(given_out - value) <= 0.01 * (domain.step or domain.high - domain.low)


def test_values_that_do_not_go_together_are_refused_as_a_point() -> None:
    found = read("kl_warmup_epochs: [0, 20]\nepochs: [10, 40]\n")
    points: list[dict[str, Any]] = list(found.points() or ())
    assert [found.refused(point) for point in points] == [False, False, True, False]
