"""The study is what Git holds: each experiment one trial, whatever its name, and none twice."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as tuned
from hypothesis import strategies as st
from matplotlib.lines import Line2D
from ruamel.yaml import YAML

from mnist_vae.errors import PipelineError
from mnist_vae.experiments.repository import Repository
from mnist_vae.experiments.snapshot import SHOWN, workspace
from mnist_vae.search import picture, space, study, trials, work
from mnist_vae.search.space import Choices, Range, Space
from mnist_vae.search.study import Method
from mnist_vae.search.trials import Trial
from tests.support import settings
from tests.support.drawing import render
from tests.support.git import git

study.load()
METHOD = Method("tpe", "none", 2, 0)
TEXT = "beta: {low: 0, high: 2}\nbatch_size: [64, 128]\n"
OUTS = [{"path": path, "md5": str(number)} for number, path in enumerate(SHOWN)]


def put(folder: Path, elbo: float, **params: Any) -> None:
    """A whole pipeline's files with these parameters, which ended at this validation ELBO."""
    whole = {**settings.SETTINGS, **params}
    lock = {"cmd": "run", "params": {"params.yaml": whole}, "outs": OUTS}
    yaml = YAML(typ="safe", pure=True)
    yaml.dump(whole, folder / "params.yaml")
    yaml.dump({"stages": {"train": lock}}, folder / "dvc.lock")
    rows = f"epoch,validation_elbo,validation_distortion\n1,-300,290\n2,{elbo},{-elbo - 5}\n"
    (folder / "metrics").mkdir(exist_ok=True)
    (folder / "metrics/history.csv").write_text(rows)


def plant(folder: Path, name: str, elbo: float, **params: Any) -> None:
    """An experiment on HEAD."""
    put(folder, elbo, **params)
    head = git(folder, "rev-parse", "HEAD")
    git(folder, "add", "--all")
    commit = git(folder, "commit-tree", "-p", head, "-m", name, git(folder, "write-tree"))
    git(folder, "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/{name}", commit)
    git(folder, "reset", "--quiet", "--hard")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose HEAD has results, and two experiments of the space."""
    settings.lay_out(tmp_path)
    stage = {"cmd": "run", "params": list(settings.SETTINGS), "outs": list(SHOWN)}
    YAML(typ="safe", pure=True).dump({"stages": {"train": stage}}, tmp_path / "dvc.yaml")
    (tmp_path / ".gitignore").write_text(".dvc\n*space.yaml\n")
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    put(tmp_path, -140)
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "one")
    plant(tmp_path, "odd-name", -130, beta=0.5)
    plant(tmp_path, "batch_size-64", -135, batch_size=64)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(folder: Path, text: str = TEXT, metric: str = "validation_elbo") -> list[Trial]:
    found, head = of(text), git(folder, "rev-parse", "HEAD")
    with Repository(folder) as repository:
        return trials.read(repository, head, found, metric)


def of(text: str = TEXT) -> Space:
    Path("space.yaml").write_text(text)
    return space.read(Path("space.yaml"), settings.SETTINGS, workspace(Path()))


def note(folder: Path, trial: Trial, metric: str = "validation_elbo", text: str = TEXT) -> str:
    head = git(folder, "rev-parse", "HEAD")
    with Repository(folder) as repository:
        trials.note(repository, head, of(text), metric, trial)
    return f"refs/trials/{head[:2]}/{head[2:]}/{trial.experiment}"


def told(found: list[Trial]) -> list[tuple[str, str, float]]:
    return [(trial.experiment, trial.state, trial.value) for trial in found]


def test_experiments_of_the_space_are_its_trials(folder: Path) -> None:
    head = git(folder, "rev-parse", "HEAD")[:7]
    expected = [(head, "done", -140), ("batch_size-64", "done", -135), ("odd-name", "done", -130)]
    assert sorted(told(read(folder))) == sorted(expected)
    plant(folder, "beyond", -1, beta=2.5)
    plant(folder, "another-seed", -1, seed=7)
    plant(folder, "twin", -130, beta=0.5)  # the same point under two names
    assert len(read(folder)) == 3
    assert read(folder)[1].curve == {1: -300, 2: -135}
    (other,) = [t for t in read(folder, metric="validation_distortion") if "64" in t.experiment]
    assert other.value == 130


def test_those_of_other_code_or_of_another_commit_are_none(folder: Path) -> None:
    pipeline = (folder / "dvc.yaml").read_text()
    (folder / "dvc.yaml").write_text(pipeline.replace("cmd: run", "cmd: walk"))
    plant(folder, "walked", -1, beta=0.25)
    assert len(read(folder)) == 3
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "two")
    assert told(read(folder)) == [(git(folder, "rev-parse", "HEAD")[:7], "done", -140)]


def test_what_ended_early_is_remembered_and_told_apart(folder: Path) -> None:
    pruned = Trial("beta-0.125", "pruned", {"beta": 0.125, "batch_size": 128}, {2: -210.5})
    failed = Trial("beta-2", "failed", {"beta": 2, "batch_size": 128}, {}, "training diverged")
    note(folder, pruned)
    ref = note(folder, failed)
    found = {trial.experiment: trial for trial in read(folder)}
    assert (found["beta-0.125"], found["beta-2"]) == (pruned, failed)
    # For another metric the curve says nothing; what failed, failed.
    states = [trial.state for trial in read(folder, metric="validation_distortion")]
    assert sorted(states) == ["done"] * 3 + ["failed"]
    assert len(read(folder, "beta: {low: 0, high: 1}\nbatch_size: [64, 128]\n")) == 4
    plant(folder, "beta-2", -131, beta=2)  # it went well after all
    assert [trial.state for trial in read(folder) if trial.experiment == "beta-2"] == ["done"]
    # Git carries them to another clone and back.
    other = folder.parent / "other"
    git(folder, "clone", "--quiet", str(folder), str(other))
    git(
        other,
        "fetch",
        "--quiet",
        "origin",
        "refs/exps/*:refs/exps/*",
        "refs/trials/*:refs/trials/*",
    )
    assert told(read(other)) == told(read(folder))
    git(folder, "update-ref", ref, git(folder, "hash-object", "-w", "params.yaml"))
    with pytest.raises(PipelineError, match=f"{ref} is no trial of a search; `git update-ref -d"):
        read(folder)


def test_a_trial_that_failed_does_not_end_the_next(folder: Path) -> None:
    note(folder, Trial("beta-2", "failed", {"beta": 2, "batch_size": 128}, {}, "diverged"))
    head = git(folder, "rev-parse", "HEAD")
    search = work.Search(folder, head, of(), "validation_elbo", METHOD)
    assert work._result(search, "batch_size-64") == "validation_elbo -135.000"
    with pytest.raises(PipelineError, match="has run, but has no validation_elbo"):
        work._result(search, "beta-2")


def test_the_commits_own_values_come_first() -> None:
    base = settings.SETTINGS
    found = Space("some", {"beta": Range(0, 2, False, None, False)}, base, {"epochs": 10})
    first = study.propose(found, [], "validation_elbo", METHOD)
    assert first
    assert first.values == {"beta": base["beta"]}
    elsewhere = Space("some", {"beta": Range(2, 3, False, None, False)}, base, {})
    first = study.propose(elsewhere, [], "validation_elbo", METHOD)
    assert first
    assert 2 <= first.values["beta"] <= 3


def test_the_same_trials_give_the_same_point() -> None:
    found = Space("some", {"beta": Range(0, 2, False, None, False)}, settings.SETTINGS, {})
    done = [
        Trial(f"beta-{beta}", "done", {"beta": beta}, {1: -(beta**2)})
        for beta in (0.1, 0.5, 1.0, 1.5)
    ]
    for sampler in study.SAMPLERS:
        method = Method(sampler, "none", 2, 0)
        one, other = (study.propose(found, done, "validation_elbo", method) for _ in range(2))
        assert one
        assert other
        assert one.values == other.values
        assert one.values["beta"] not in (0.1, 0.5, 1.0, 1.5)


@given(
    st.integers(1, 3),
    st.integers(1, 2),
    st.sampled_from(["done", "pruned", "failed"]),
    st.sampled_from(["validation_elbo", "validation_distortion"]),
)
@tuned(max_examples=8)
def test_every_point_is_tried_once_and_then_there_is_none(
    choices: int, steps: int, state: Any, metric: str
) -> None:
    varied = {
        "hidden_sizes": Choices(tuple([8 * n] for n in range(1, choices + 1))),
        "latent_dim": Range(2, 2 + steps, False, None, True),
        "beta": Range(0, 1, False, 1.0, False),
    }
    found = Space("some", varied, settings.SETTINGS, {"epochs": 10})
    tried: list[Trial] = []
    while proposal := study.propose(found, tried, metric, METHOD):
        curve = {} if state == "failed" else {3: -float(len(tried))}
        tried.append(Trial("any", state, proposal.values, curve))
        assert len(tried) <= choices * (steps + 1) * 2
    names = {json.dumps(trial.values) for trial in tried}
    assert len(names) == len(tried) == choices * (steps + 1) * 2


def test_points_that_params_yaml_refuses_are_not_proposed(folder: Path) -> None:
    found = of("kl_warmup_epochs: [0, 20]\nepochs: [10, 40]\n")
    tried: list[Trial] = []
    while proposal := study.propose(found, tried, "validation_elbo", METHOD):
        tried.append(Trial("any", "done", proposal.values, {1: -1.0}))
    assert len(tried) == 3


def test_a_trial_worse_than_the_median_is_hopeless_after_the_warm_up() -> None:
    found = Space("some", {"beta": Range(0, 2, False, None, False)}, settings.SETTINGS, {})
    curves = [{1: -200.0, 2: -150.0 + n, 3: -140.0 + n} for n in range(3)]
    done = [Trial("any", "done", {"beta": n / 2}, curve) for n, curve in enumerate(curves)]
    for pruner, early, late in (("none", False, False), ("median", False, True)):
        method = Method("tpe", pruner, 2, 1)
        proposal = study.propose(found, done, "validation_elbo", method)
        assert proposal
        assert (proposal.hopeless(1, -900.0), proposal.hopeless(2, -900.0)) == (early, late)
    better = study.propose(found, done, "validation_elbo", Method("tpe", "median", 2, 1))
    assert better
    assert not better.hopeless(2, -120.0)


def test_a_picture_of_any_study(tmp_path: Path) -> None:
    varied = {
        "hidden_sizes": Choices(([512, 512], [256])),
        "learning_rate": Range(1e-4, 1e-2, True, None, False),
        "latent_dim": Range(2, 9, False, None, True),
        "activation": Choices(("relu", "tanh")),
    }
    found = Space("some", varied, settings.SETTINGS, {})
    tried: list[Trial] = []
    for count in range(8):
        proposal = study.propose(found, tried, "validation_elbo", METHOD)
        assert proposal
        tried.append(Trial("any", "done", proposal.values, {1: -100.0 - count**3}))
        drawn = picture.draw(found, tried, "validation_elbo")
        assert [a.get_xlabel() for a in drawn.axes if a.get_visible()] == list(varied)
        assert render(drawn).std() > 0


def test_a_picture_shows_most_trials_and_tells_the_others_apart() -> None:
    found = Space("some", {"beta": Range(0, 2, False, None, False)}, settings.SETTINGS, {})
    values = [-140.2, -140.3, -141.0, -141.1]
    tried = [Trial("any", "done", {"beta": n / 4}, {1: value}) for n, value in enumerate(values)]
    lines = {line.get_label(): line for line in lines_of(found, tried)}
    assert list(lines["a trial"].get_ydata()) == values
    assert not lines.keys() & {"worse than shown", "pruned"}
    worse = Trial("any", "done", {"beta": 1.5}, {1: -900.0})
    pruned = [Trial("any", "pruned", {"beta": at}, {1: -150.0}) for at in (1.7, 1.8)]
    lines = {line.get_label(): line for line in lines_of(found, [*tried, worse], pruned)}
    assert list(lines["a trial"].get_ydata()) == values
    assert list(lines["worse than shown"].get_xdata()) == [1.5]
    assert list(lines["pruned"].get_xdata()) == [1.7, 1.8]


def lines_of(found: Space, tried: list[Trial], pruned: Sequence[Trial] = ()) -> list[Line2D]:
    drawn = picture.draw(found, tried, "validation_elbo", pruned)
    assert render(drawn).std() > 0
    return list(drawn.axes[0].lines)
