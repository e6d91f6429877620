"""Laps of several programs on one machine, one at a time and in turn: A B C, A B C, ...

Each contestant is a process of its own that waits for `go`, does one lap (an epoch, say), reports
its seconds and waits again. Standard library only: the Keras contestant has another environment.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

Lap = dict[str, float]
FOREVER = 100_000  # epochs to ask a training loop for; the clock ends it
PAUSE = 0.5  # seconds between laps, in which the last contestant's threads go to sleep


class Clock:
    """The contestant's side."""

    def start(self) -> None:
        """Wait for `go`; exit if there are no more laps."""
        if not sys.stdin.readline():
            raise SystemExit(0)
        self._began = time.perf_counter()

    def lap(self, **more: float) -> None:
        """A lap is done: report it and wait for the next `go`."""
        seconds = time.perf_counter() - self._began
        print(json.dumps({"seconds": seconds, **more}), flush=True)
        self.start()


class Contestant:
    """The judge's side: a process and its laps."""

    def __init__(self, command: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> None:
        self._command = " ".join(command[1:4])
        self._complaints = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
        )

    def lap(self, pause: float = PAUSE) -> Lap:
        """One lap."""
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise RuntimeError(f"{self._command} has no pipes")
        time.sleep(pause)
        stdin.write("go\n")
        stdin.flush()
        for line in stdout:
            if line.startswith('{"seconds"'):
                lap: Lap = json.loads(line)
                return lap
        self._complaints.seek(0)
        last = self._complaints.read()[-2000:]
        raise RuntimeError(f"{self._command} ended in the middle of a lap:\n{last}")

    def close(self) -> None:
        """No more laps."""
        self._process.kill()
        self._process.communicate()
        self._complaints.close()


def race(
    contestants: Mapping[str, Callable[[], Contestant]], laps: int, warm_up: int = 1
) -> dict[str, list[Lap]]:
    """Start all, then take turns; the first `warm_up` laps of each do not count."""
    started: dict[str, Contestant] = {}
    taken: dict[str, list[Lap]] = {name: [] for name in contestants}
    try:
        for name, start in contestants.items():
            started[name] = start()
        for turn in range(warm_up + laps):
            for name, contestant in started.items():
                lap = contestant.lap()
                print(f"  {name}: {lap['seconds']:.2f} s", file=sys.stderr, flush=True)
                if turn >= warm_up:
                    taken[name].append(lap)
    finally:
        for contestant in started.values():
            contestant.close()
    return taken


def ratio(numerator: Sequence[Lap], denominator: Sequence[Lap]) -> float:
    """Median of the ratios of seconds, turn by turn: what slows a whole turn cancels out."""
    pairs = zip(numerator, denominator, strict=True)
    return statistics.median(ours["seconds"] / theirs["seconds"] for ours, theirs in pairs)


def seconds(laps: Sequence[Lap]) -> float:
    """Median seconds of a lap."""
    return statistics.median(lap["seconds"] for lap in laps)


def parser() -> argparse.ArgumentParser:
    """The arguments that every contestant knows."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--data", type=Path, required=True)  # holds MNIST/raw
    arguments.add_argument("--images", type=int, required=True)  # per epoch
    arguments.add_argument("--device", default="cpu")
    arguments.add_argument("--arithmetic", default="native")  # portable: with its settings set
    return arguments
