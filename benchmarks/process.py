"""A program's wall time, peak memory and output lines with their times."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Lines = list[tuple[float, str]]  # seconds since the start; both streams
KIB = 1 if sys.platform == "darwin" else 1024  # bytes in ru_maxrss's unit


@dataclass(frozen=True)
class Run:
    """What one run of a program took."""

    seconds: float
    peak: float  # MiB, of the largest process: itself or a child that it waited for
    lines: Lines


def run(command: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> Run:
    """Run a program that must succeed."""
    began = time.perf_counter()
    lines: Lines = []
    child = subprocess.Popen(
        command,
        cwd=cwd,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    for line in child.stdout or ():
        lines.append((time.perf_counter() - began, line.rstrip()))
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.stdout:
        child.stdout.close()
    if child.returncode:
        output = "\n".join(line for _, line in lines[-40:])
        raise RuntimeError(f"{' '.join(command)} failed:\n{output}")
    return Run(seconds, usage.ru_maxrss * KIB / 2**20, lines)


def between(lines: Lines, first: str, last: str) -> float:
    """Seconds from the first line that starts with `first` to the last that does with `last`."""
    begun = min(moment for moment, line in lines if line.startswith(first))
    return max(moment for moment, line in lines if line.startswith(last)) - begun
