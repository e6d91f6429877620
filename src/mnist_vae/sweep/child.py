"""DVC as a child process: what it prints, why it failed, and signals passed on to it."""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import IO


class Stopped(Exception):
    """A signal wants us to end."""


class Signals:
    """SIGTERM and SIGINT become a Ctrl-C for DVC's process group: training leaves a checkpoint."""

    def __init__(self) -> None:
        self.asked = ""
        self._group: int | None = None

    def __enter__(self) -> "Signals":
        self._before = {
            number: signal.signal(number, self._ask) for number in (signal.SIGTERM, signal.SIGINT)
        }
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def passed_on_to(self, group: int | None) -> None:
        self._group = group
        if self.asked:
            self.interrupt()

    def interrupt(self) -> None:
        """Ctrl-C for the child, if there is one."""
        if self._group:
            with suppress(ProcessLookupError):
                os.killpg(self._group, signal.SIGINT)

    def _ask(self, number: int, _: FrameType | None) -> None:
        self.asked = signal.Signals(number).name
        if self._group is None:  # there is nothing yet, or no longer, that could go on
            raise Stopped(f"by {self.asked}")
        self.interrupt()


def watch(
    command: Sequence[str],
    folder: Path,
    env: Mapping[str, str],
    signals: Signals,
    lock: IO[str],
    hear: Callable[[str], None],
) -> tuple[int, list[str]]:
    """Run DVC and hear each line that it and its stages print, until all of them have ended.

    Returns its exit status and its last lines. They hold the lock as well: should we be killed,
    nobody may take it before they are gone.
    """
    child = subprocess.Popen(
        command,
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
        pass_fds=(lock.fileno(),),
    )
    signals.passed_on_to(child.pid)
    said: list[str] = []
    for line in child.stdout or ():
        hear(line)
        said = [*said[-50:], line.strip()]
    status = child.wait()
    signals.passed_on_to(None)
    return status, said


def reason(said: Sequence[str]) -> str:
    """What a failed run has said of it, in one line."""
    ours = [line.removeprefix("error: ") for line in said if line.startswith("error: ")]
    dvcs = [line.removeprefix("ERROR: ") for line in said if line.startswith("ERROR: ")]
    return (ours[-1:] or dvcs[:1] or [line for line in said if line][-1:] or ["no reason given"])[0]
