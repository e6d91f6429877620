"""Train, be killed at a random moment, go on, again and again; a program that prints its counts.

It runs in a project's folder, imports torch once and forks a process for each attempt, since
otherwise the start of Python would take nearly all the time. Arguments: how many kills of each
kind, the seed.
"""

# ruff: noqa: E402
import json
import os
import random
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from mnist_vae import arithmetic

arithmetic.prepare(arithmetic.ArithmeticParams("portable"))  # as the stage's runner does

import numpy as np

from mnist_vae import errors
from mnist_vae.arrays import read_arrays, write_arrays
from mnist_vae.inputs import Inputs
from stages import train  # type: ignore[attr-defined]

RESULTS = (train.MODEL, train.HISTORY)
CHECKPOINTS = Path(".checkpoints")
LOG = Path("attempt.log")
GOING_ON = "going on from the checkpoint"
FULL = "full disk"
KINDS = ("SIGKILL", "SIGTERM", "SIGINT", FULL)


def attempt(disturb: Callable[[int], object] = lambda _: None) -> tuple[int, str]:
    """Train in a process of its own while `disturb` does what it likes to it: status, output."""
    child = os.fork()
    if child == 0:
        output = os.open(LOG, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
        os.dup2(output, 1)
        os.dup2(output, 2)
        try:
            errors.run(lambda: train.main(Inputs("train")))
        except SystemExit as end:
            if isinstance(end.code, str):
                print(end.code, file=sys.stderr, flush=True)
            os._exit(end.code if isinstance(end.code, int) else 1)
        except BaseException:
            traceback.print_exc()
            os._exit(99)
    disturb(child)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    output_text = LOG.read_text()
    assert "Traceback" not in output_text, output_text
    return status, output_text


def results() -> list[bytes]:
    return [path.read_bytes() for path in RESULTS]


def forget_results() -> None:
    for path in RESULTS:
        path.unlink(missing_ok=True)


def undisturbed() -> tuple[list[bytes], float]:
    """The results, and the seconds that training takes."""
    forget_results()
    began = time.monotonic()
    status, output = attempt()
    assert status == 0, output
    assert GOING_ON not in output
    return results(), time.monotonic() - began


def kill_until(count: int, chance: random.Random) -> dict[str, int]:
    """Kill trainings `count` times in each way; every one must end with the same bytes."""
    expected, seconds = undisturbed()
    counts = dict.fromkeys((*KINDS, "trainings", "resumed"), 0)
    while min(counts[kind] for kind in KINDS) < count:
        forget_results()
        while True:
            kind = min(KINDS, key=lambda kind: (counts[kind], chance.random()))

            def disturb(child: int, kind: str = kind) -> None:
                time.sleep(chance.uniform(0, 1.2 * seconds))
                if kind == FULL:  # from now on, no file can grow beyond 4 kB
                    resource.prlimit(child, resource.RLIMIT_FSIZE, (4096, 4096))
                else:
                    os.kill(child, getattr(signal, kind))

            status, output = attempt(disturb)
            counts["resumed"] += GOING_ON in output
            assert "damaged" not in output, output
            if status == 0:
                break
            counts[kind] += 1
            allowed = {"SIGKILL": (-9,), "SIGTERM": (1, -15), "SIGINT": (1, 130), FULL: (1,)}
            assert status in allowed[kind], (kind, status, output)
            assert kind != FULL or "error: File too large" in output, output
        counts["trainings"] += 1
        assert results() == expected
        assert list(CHECKPOINTS.iterdir()) == []
    return counts


def leave_a_checkpoint() -> None:
    forget_results()

    def disturb(child: int) -> None:
        while not list(CHECKPOINTS.glob("train-*")):
            time.sleep(0.001)
        os.kill(child, signal.SIGKILL)

    assert attempt(disturb)[0] == -9
    assert list(CHECKPOINTS.glob("train-*"))


def edit(path: str, old: str, new: str) -> Callable[[], None]:
    def change() -> None:
        text = Path(path).read_text()
        assert old in text
        Path(path).write_text(text.replace(old, new, 1))

    return change


def turn_an_image() -> None:
    path = Path("data/processed/train.safetensors")
    arrays, _ = read_arrays(path)
    arrays["images"] = np.concatenate([arrays["images"][:1, ::-1], arrays["images"][1:]])
    write_arrays(path, arrays)


def foreign() -> int:
    """A checkpoint of other parameters, code or data plays no part."""
    changes = (
        edit("params.yaml", "learning_rate: ", "learning_rate: 0.001  # "),
        edit("src/mnist_vae/elbo.py", '"""', '"""A thought. '),
        turn_an_image,
    )
    for change in changes:
        leave_a_checkpoint()
        change()
        left = list(CHECKPOINTS.iterdir())
        assert left
        found, _ = undisturbed()
        assert set(left) <= set(CHECKPOINTS.iterdir())  # undoing the change would use it
        for file in left:
            file.unlink()
        assert found == undisturbed()[0]
    return len(changes)


if __name__ == "__main__":
    kills, seed = map(int, sys.argv[1:])
    counts = kill_until(kills, random.Random(seed))
    print(json.dumps(counts | {"foreign": foreign()}))
