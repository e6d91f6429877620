"""Trainings that stand still while a test looks, so that no test depends on how fast one is."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

TRAIN = ("python", "-m", "stages", "train")
OFF = {"MNIST_VAE_LIVE": "off"}  # no live view
NO_MLFLOW = OFF | {"MNIST_VAE_TRACK": "off"}


def wait_for_epoch(process: "subprocess.Popen[str]", epoch: int) -> str:
    """Read a training's lines up to the one that says that `epoch` is done."""
    seen = ""
    for line in process.stdout or ():
        seen += line
        if line.startswith("epoch") and int(line.split()[1].split("/")[0]) >= epoch:
            return seen
    raise AssertionError(seen)


def training_of(process: "subprocess.Popen[str]") -> psutil.Process:
    """The training that a process is, or that a `dvc repro` has started."""
    started = psutil.Process(process.pid)
    found = []
    for one in (started, *started.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # has ended, as a live view may have
            if one.cmdline()[1:] == list(TRAIN[1:]):
                found.append(one)
    assert len(found) == 1
    return found[0]


@contextmanager
def held(process: "subprocess.Popen[str]") -> Iterator[psutil.Process]:
    """Training stands still until the block ends.

    Its live view is a process of its own, which goes on, the faster for it.
    """
    training = training_of(process)
    training.suspend()
    try:
        yield training
    finally:
        with suppress(psutil.NoSuchProcess):  # the block has killed it
            training.resume()


def without_live_view(training: psutil.Process) -> bool:
    """Has the live view's process ended? Training has no other child."""
    return all(child.status() == psutil.STATUS_ZOMBIE for child in training.children())
