"""What a terminal shows of training, and what a log gets."""

import contextlib
import os
import termios
from collections.abc import Iterator
from dataclasses import replace

import pytest

from mnist_vae import posterior as posteriors
from mnist_vae.progress import Bar
from tests.support import fitting

PARAMS = replace(fitting.PARAMS, epochs=2, batch_size=100)
STEPS = 3  # of 250 images


def train(begin: int = 0) -> None:
    bar = Bar(fitting.new_model(PARAMS), 250, PARAMS, "cpu")
    for done in range(begin, 2 * STEPS + 1):
        bar.step(done)
        if done and done % STEPS == 0:
            numbers = {"train_elbo": -120.0, "train_rate": 20.0, "train_distortion": 100.0}
            bar.epoch({"epoch": done // STEPS, **numbers})


@contextlib.contextmanager
def terminal() -> Iterator[int]:
    """Standard error is a terminal of 100 columns, whose other end this is."""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    os.set_blocking(ours, False)
    with os.fdopen(theirs, "w") as stream, contextlib.redirect_stderr(stream):
        yield ours
    os.close(ours)


def read(other_end: int) -> str:
    """All that stands there."""
    found = b""
    with contextlib.suppress(BlockingIOError):
        while part := os.read(other_end, 4096):
            found += part
    return found.decode()


def test_a_log_gets_a_line_per_epoch_and_no_more(capsys: pytest.CaptureFixture[str]) -> None:
    train()
    first, *epochs = capsys.readouterr().err.splitlines()
    assert first.startswith("training ") and first.endswith("on 250 images: cpu")
    assert [line.split("  ELBO")[0] for line in epochs] == ["epoch   1/2", "epoch   2/2"]


@pytest.mark.parametrize("begin", [0, 4])
def test_a_terminal_shows_images_a_second_and_the_time_left(begin: int) -> None:
    with terminal() as other_end:
        train(begin)
        shown = read(other_end)
    assert "images/s" in shown
    assert "/500 [" in shown  # of both epochs
    assert "<" in shown  # the time left
    assert f"{70 if begin else 0}%|" in shown  # it goes on where it was
    assert shown.count("epoch   2/2") == 1
    assert "\x1b[3" not in shown  # no colours


def test_evaluation_shows_how_far_it_is() -> None:
    vae = fitting.new_model(PARAMS)
    _, images = fitting.images()
    with terminal() as other_end:
        posteriors.rate_and_distortion(vae, images, posteriors.infer(vae, images), 3, 0)
        shown = read(other_end)
    assert "ELBO" in shown and "/3 [" in shown
    assert shown.endswith("\r")  # and leaves nothing behind
