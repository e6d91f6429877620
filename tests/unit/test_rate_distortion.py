"""Experiments in the rate-distortion plane, read from a real Git repository."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mnist_vae import __main__, rate_distortion
from mnist_vae.errors import PipelineError
from mnist_vae.experiments.repository import Repository
from mnist_vae.rate_distortion import Point
from tests.support.git import git


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    """Three experiments as DVC keeps them: two latent sizes, and one of the other protocol."""
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "start")
    baseline = git(tmp_path, "rev-parse", "HEAD")
    for name, latent, protocol, rate in (
        ("wide", 16, "greyscale", 20.0),
        ("narrow", 2, "greyscale", 7.0),
        ("drawn", 16, "binarized", 21.0),
    ):
        figures = {"rate": rate, "distortion": 100 - rate, "elbo": -100.0, "elbo_se": 0.5}
        metrics = {protocol: {f"test_{key}": value for key, value in figures.items()}}
        (tmp_path / "metrics").mkdir(exist_ok=True)
        (tmp_path / "metrics/evaluation.json").write_text(json.dumps(metrics))
        (tmp_path / "params.yaml").write_text(f"latent_dim: {latent}\n")
        git(tmp_path, "add", "--all")
        git(tmp_path, "commit", "--quiet", "--message", name)
        git(tmp_path, "update-ref", f"refs/exps/{baseline[:2]}/{baseline[2:]}/{name}", "HEAD")
        git(tmp_path, "reset", "--quiet", "--hard", baseline)
    with Repository(tmp_path) as opened:
        yield opened


def test_the_picture_is_a_png_by_name_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["mnist_vae", "rate-distortion", "--protocol", "greyscale", "--output", "a.pdf"]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit, match="2"):
        __main__.main()
    assert "a.pdf: the picture is a PNG, so its name ends in .png" in capsys.readouterr().err


def test_all_experiments_of_a_protocol_by_latent_dim(repository: Repository) -> None:
    narrow = Point("narrow", 2, 7.0, 93.0, -100.0, 0.5)
    wide = Point("wide", 16, 20.0, 80.0, -100.0, 0.5)
    assert rate_distortion.read(repository, "greyscale", []) == [narrow, wide]
    assert rate_distortion.read(repository, "greyscale", ["wide"]) == [wide]
    assert [point.name for point in rate_distortion.read(repository, "binarized", [])] == ["drawn"]
    assert "| wide | 16 | 20.00 | 80.00 | -100.00 ± 0.50 |" in rate_distortion.table([narrow, wide])
    axes = rate_distortion.draw([narrow, wide], "greyscale").axes[0]
    assert [text.get_text() for text in axes.texts] == ["2", "16"]
    assert axes.lines[-1].get_xydata().tolist() == [[7.0, 93.0], [20.0, 80.0]]


def test_two_experiments_of_one_name_are_both_there(repository: Repository) -> None:
    wide = repository.resolve("wide")
    git(repository.folder, "update-ref", f"refs/exps/{wide[:2]}/{wide[2:]}/narrow", wide)
    with Repository(repository.folder) as opened:
        points = rate_distortion.read(opened, "greyscale", [])
    assert [(point.name, point.latent_dim) for point in points] == [
        ("narrow", 2),
        ("narrow", 16),
        ("wide", 16),
    ]


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("metrics/evaluation.json", '{"greyscale": {"test_elbo": -100.0}}'),
        ("metrics/evaluation.json", '{"greyscale": {'),
        ("metrics/evaluation.json", '{"greyscale": 3}'),
        ("metrics/evaluation.json", "[]"),
        ("params.yaml", "model:\n  latent_dim: 2\n"),
        ("params.yaml", "latent_dim: [\n"),
    ],
)
def test_an_experiment_of_another_layout_is_left_out(
    repository: Repository, file: str, content: str
) -> None:
    folder, wide = repository.folder, repository.resolve("wide")
    git(folder, "checkout", "--quiet", wide)
    (folder / file).write_text(content)
    git(folder, "commit", "--quiet", "--all", "--message", "other")
    git(folder, "update-ref", f"refs/exps/{wide[:2]}/{wide[2:]}/other", "HEAD")
    with Repository(folder) as opened:
        names = [point.name for point in rate_distortion.read(opened, "greyscale", [])]
        assert names == ["narrow", "wide"]
        with pytest.raises(PipelineError, match="experiment other "):
            rate_distortion.read(opened, "greyscale", ["other"])


def test_what_is_not_there_is_named(repository: Repository) -> None:
    with pytest.raises(PipelineError, match="no experiment nobody"):
        rate_distortion.read(repository, "greyscale", ["nobody"])
    with pytest.raises(PipelineError, match="drawn has no greyscale metrics"):
        rate_distortion.read(repository, "greyscale", ["drawn"])
    git(repository.folder, "init", "--quiet", "elsewhere")
    with pytest.raises(PipelineError, match="run some"):
        rate_distortion.read(Repository(repository.folder / "elsewhere"), "greyscale", [])
