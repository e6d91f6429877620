"""Programs in a clone of the project: git and DVC, in an environment of our choice."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from mnist_vae.errors import PipelineError

OURS = Path(sys.executable).parent  # the programs of the environment that we run in
_OF_A_STAGE = ("DVC_ROOT", "DVC_STAGE", "DVC_EXP_")


def settings(programs: Path = OURS, **ours: str) -> dict[str, str]:
    """Our environment variables, less what DVC sets for a stage; programs are found there first.

    A path in MNIST_MIRROR is made absolute: the clone is elsewhere.
    """
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(_OF_A_STAGE)
    }
    mirror = inherited.get("MNIST_MIRROR", "")
    if mirror and "://" not in mirror:
        inherited["MNIST_MIRROR"] = str(Path(mirror).resolve())
    inherited["PATH"] = f"{programs}{os.pathsep}{inherited.get('PATH', '')}"
    return inherited | ours


def run(
    command: Sequence[str], folder: Path, env: Mapping[str, str] | None = None, shown: bool = False
) -> str:
    """Run a program and return what it prints, or show that on standard error.

    Raises PipelineError, one line with the program's last one, if it fails.
    """
    first = (shutil.which(command[0], path=env["PATH"]) if env else None) or command[0]
    done = subprocess.run(
        [first, *command[1:]],
        cwd=folder,
        env=env,
        text=True,
        stdout=2 if shown else subprocess.PIPE,
        stderr=None if shown else subprocess.PIPE,
    )
    if done.returncode:
        lines = (done.stderr or "").strip().splitlines()
        detail = f": {lines[-1]}" if lines else ""
        raise PipelineError(f"`{Path(command[0]).name} {command[1]}` failed in {folder}{detail}")
    return done.stdout or ""
