"""The versions of the packages that compute: packages.yaml, which requirements.lock says.

A stage lists those that it imports as its parameters in dvc.yaml, so that an upgrade reruns it. The
lock holds one version of each for all versions of Python: bytes shall not depend on that.
"""

import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from mnist_vae.errors import PipelineError

PACKAGES = Path("packages.yaml")
LOCK = Path("requirements.lock")


def refuse(locked: Mapping[str, object]) -> None:
    """Raise PipelineError, one line, if a package is not installed in its version of packages.yaml.

    What comes after a +, as in 2.14.1+cpu, is where a build is from and not looked at.
    """
    wrong = []
    for name, wanted in locked.items():
        try:
            here = version(name).split("+")[0]
        except PackageNotFoundError:
            here = "no version"
        if here != wanted:
            wrong.append(f"{here} of {name} is installed, and {PACKAGES} has {wanted}")
    if wrong:
        raise PipelineError(
            f"{'; '.join(wrong)}: install what requirements.lock says (`make .venv/installed`); "
            "or, for other versions, change pyproject.toml and run `make lock`"
        )


def update() -> None:
    """Set the versions in packages.yaml to those of requirements.lock.

    Raises PipelineError if the lock has none of a package, or more than one.
    """
    lock = LOCK.read_text(encoding="utf-8")
    lines = PACKAGES.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        if not line or line.startswith("#"):
            continue
        name = line.split(":")[0]
        found = set(re.findall(rf"^{re.escape(name)}==([^ ]+)", lock, re.MULTILINE))
        if len(found) != 1:
            versions = ", ".join(sorted(found)) or "none"
            raise PipelineError(f"{LOCK} must hold one version of {name}; it holds {versions}")
        lines[number] = f'{name}: "{found.pop()}"'
    PACKAGES.write_text("\n".join(lines) + "\n", encoding="utf-8")
