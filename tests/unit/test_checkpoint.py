"""A stopped training resumes to the same bytes; a damaged checkpoint is found out."""

import copy
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mnist_vae import checkpoint, training
from mnist_vae.checkpoint import Checkpoint
from mnist_vae.errors import PipelineError
from mnist_vae.learner import Learner
from mnist_vae.model import VAE
from tests.support.fitting import MLP, PARAMS, STEPS, VARIANTS, fit, images, new_model, same


@pytest.mark.parametrize("variant", VARIANTS)
@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(1, 3 * STEPS - 1), min_size=1, max_size=3))
def test_stopped_training_resumes_to_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, variant: str, stops: list[int]
) -> None:
    params = VARIANTS[variant]
    vae, history = fit(params, tmp_path_factory.mktemp("undisturbed"))
    folder = tmp_path_factory.mktemp("stopped")
    for stop in sorted(set(stops)):
        with pytest.raises(training.Interrupted, match="SIGTERM"):
            fit(params, folder, stop)
        assert (folder / "checkpoint.safetensors").exists()
    resumed, resumed_history = fit(params, folder, begin_at=max(stops))
    assert same(vae, resumed)
    assert history == resumed_history


def test_a_damaged_checkpoint_is_named_and_training_starts_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vae, _ = fit(PARAMS, tmp_path / "undisturbed")
    with pytest.raises(training.Interrupted):
        fit(PARAMS, tmp_path, stop_at=7)
    path = tmp_path / "checkpoint.safetensors"
    whole = path.read_bytes()
    for damaged in (whole[:-5], whole[: len(whole) // 2], b"", b"x" * 100):
        path.write_bytes(damaged)
        again, _ = fit(PARAMS, tmp_path)
        assert same(vae, again)
        message = capsys.readouterr().err
        assert "checkpoint.safetensors" in message
        assert "training starts over" in message
        assert "dvc checkout" not in message  # it holds for outputs


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the checkpoint of a stopped training; leave it as it is."""
    folder = tmp_path_factory.mktemp("stopped")
    with pytest.raises(training.Interrupted):
        fit(PARAMS, folder, stop_at=7)
    return folder


@settings(max_examples=200)
@given(st.data())
def test_no_flipped_bit_in_a_checkpoint_goes_unnoticed(stopped: Path, data: st.DataObject) -> None:
    content = bytearray((stopped / "checkpoint.safetensors").read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    start, end = data.draw(st.sampled_from([(0, header), (header, len(content))]))
    content[data.draw(st.integers(start, end - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path = stopped / "flipped.safetensors"
    path.write_bytes(content)
    vae = VAE(MLP)
    before = copy.deepcopy(vae)
    parts = Learner(vae, images()[0], PARAMS).parts
    assert Checkpoint(path, 1).restore(parts) is None
    assert same(vae, before)
    assert not any(moment.any() for moment in parts.moments.values())
    assert Checkpoint(stopped / "checkpoint.safetensors", 1).restore(parts) is not None
    assert not same(vae, before)
    assert all(moment.any() for moment in parts.moments.values())


@pytest.mark.parametrize(("given", "seconds"), [("0", 0.0), ("2.5", 2.5), ("inf", math.inf)])
def test_the_interval_is_the_users(
    monkeypatch: pytest.MonkeyPatch, given: str, seconds: float
) -> None:
    monkeypatch.delenv(checkpoint.INTERVAL, raising=False)
    assert checkpoint.interval() == 30
    monkeypatch.setenv(checkpoint.INTERVAL, given)
    assert checkpoint.interval() == seconds


@pytest.mark.parametrize("given", ["soon", "nan", "-1", ""])
def test_an_interval_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv(checkpoint.INTERVAL, given)
    with pytest.raises(PipelineError, match=f"_SECONDS is '{given}'; it must be a number"):
        checkpoint.interval()


def test_checkpoints_stand_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def where() -> Path:
        return checkpoint.path_for("train", {}, [], torch.device("cpu")).parent

    monkeypatch.setenv("DVC_ROOT", "/project")
    monkeypatch.setenv(checkpoint.PLACE, "")
    assert where() == Path("/project/.checkpoints")
    monkeypatch.setenv(checkpoint.PLACE, str(tmp_path))
    assert where() == tmp_path


def test_a_stop_without_a_checkpoint_promises_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "checkpoint.safetensors").mkdir()  # a file's place is taken
    with pytest.raises(training.Interrupted, match="goes on from an earlier checkpoint or starts"):
        fit(PARAMS, tmp_path, stop_at=7)
    assert "no checkpoint written" in capsys.readouterr().err
    with pytest.raises(training.Interrupted, match="goes on from here"):
        fit(PARAMS, tmp_path / "writable", stop_at=7)


def test_a_finished_training_leaves_neither_checkpoint_nor_half_of_one(tmp_path: Path) -> None:
    with pytest.raises(training.Interrupted):
        fit(PARAMS, tmp_path, stop_at=7)
    (tmp_path / ".checkpoint.safetensors.abc.tmp").write_bytes(b"of a killed process")
    (tmp_path / ".other.safetensors.abc.tmp").write_bytes(b"of another training")
    with Checkpoint(tmp_path / "checkpoint.safetensors", 1).until_in_place():
        pass
    assert [path.name for path in tmp_path.iterdir()] == [".other.safetensors.abc.tmp"]


@pytest.mark.parametrize("fault", [math.nan, math.inf])
def test_divergence_keeps_the_last_good_checkpoint(tmp_path: Path, fault: float) -> None:
    undisturbed, history = fit(PARAMS, tmp_path)
    vae = new_model(PARAMS)

    def break_weights(step: int) -> None:
        if step == STEPS + 2:
            with torch.no_grad():
                vae.decoder.get_parameter("0.weight")[0, 0] = fault

    train, validation = images()
    every_step = Checkpoint(tmp_path / "checkpoint.safetensors", seconds=0)
    with pytest.raises(PipelineError, match=r"diverged in epoch 2: the objective is nan"):
        training.fit(vae, train, validation, PARAMS, every_step, break_weights, len)
    started: list[int] = []
    resumed = new_model(PARAMS)
    again = training.fit(resumed, train, validation, PARAMS, every_step, started.append, len)
    assert started[0] == STEPS + 1  # the step before the fault
    assert same(resumed, undisturbed)
    assert again == history
