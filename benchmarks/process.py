"""A program's wall time, output lines with their times, and peak memory."""

import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Lines = list[tuple[float, str]]  # seconds since the start; both streams
KIB = 1 if sys.platform == "darwin" else 1024  # bytes in ru_maxrss's unit
# Linux counts the memory of the process that starts a program as the program's own peak, so a small
# one must start it.
LAUNCHER = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print("peak", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""


@dataclass(frozen=True)
class Run:
    """What one run of a program took."""

    seconds: float
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
    child.wait()
    seconds = time.perf_counter() - began
    if child.stdout:
        child.stdout.close()
    if child.returncode:
        output = "\n".join(line for _, line in lines[-40:])
        raise RuntimeError(f"{' '.join(command)} failed:\n{output}")
    return Run(seconds, lines)


def run_small(
    command: Sequence[str], cwd: Path, environment: Mapping[str, str]
) -> tuple[Run, float]:
    """Run a program, and say the peak memory of its largest process in MiB."""
    done = run([sys.executable, "-S", "-c", LAUNCHER, *command], cwd, environment)
    return done, int(done.lines[-1][1].split()[1]) * KIB / 2**20


def stages(done: Run) -> tuple[float, dict[str, float]]:
    """Seconds until DVC runs its first stage, and of each stage: until the next, or the end."""
    starts = [
        (moment, found[1])
        for moment, line in done.lines
        if (found := re.match(r"Running stage '(\w+)'", line))
    ]
    ends = [moment for moment, _ in starts[1:]] + [done.seconds]
    taken = {name: end - begun for (begun, name), end in zip(starts, ends, strict=True)}
    return starts[0][0], taken


def between(lines: Lines, first: str, last: str) -> float:
    """Seconds from the first line that starts with `first` to the last that does with `last`."""
    begun = min(moment for moment, line in lines if line.startswith(first))
    return max(moment for moment, line in lines if line.startswith(last)) - begun
