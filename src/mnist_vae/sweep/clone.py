"""A clone of the project on a node's own disk, made once and used by one task at a time."""

import fcntl
import getpass
import hashlib
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mnist_vae.errors import PipelineError
from mnist_vae.experiments.repository import Repository
from mnist_vae.programs import run
from mnist_vae.sweep.plan import Sweep, dvc_remote

SCRATCH = "MNIST_VAE_SCRATCH"  # environment variable: where clones go; else to the temporary files


@dataclass(frozen=True)
class Clone:
    """A clone that is ours: the project's folder in it, and the open file that locks it."""

    project: Path
    lock: IO[str]

    @property
    def site(self) -> Path:
        """For DVC_SITE_CACHE_DIR: tasks of one node must not wait for each other's locks there."""
        return Path(self.lock.name).with_suffix(".site")


@contextmanager
def taken(sweep: Sweep, project: Path | None) -> Iterator[Clone]:
    """A clone that no other task uses meanwhile, at the sweep's commit and with no experiments.

    It keeps its DVC cache. `project` is the folder whose own DVC settings it takes over, if there
    is one on this machine. Raises PipelineError, one line, if it cannot be made.
    """
    pool = _pool(sweep.remote)
    for number in itertools.count():
        with (pool / f"{number}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            whole = pool / str(number)
            prepare(whole, sweep.remote, sweep.revision)
            folder = whole / sweep.folder
            configure(folder, project)
            if not dvc_remote(folder):  # results could not be brought home
                raise PipelineError(
                    "the commit names no DVC remote, and there is no project here whose own "
                    "settings do"
                )
            yield Clone(folder, lock)
            return


def _pool(remote: str) -> Path:
    user = getpass.getuser()
    above = Path(os.environ.get(SCRATCH) or Path(tempfile.gettempdir()) / f"mnist-vae-{user}")
    above.mkdir(parents=True, exist_ok=True, mode=0o700)
    if above.stat().st_uid != os.getuid():
        raise PipelineError(f"{above} is somebody else's; name a folder of yours in {SCRATCH}")
    pool = above.resolve() / hashlib.sha256(remote.encode()).hexdigest()[:12]
    pool.mkdir(exist_ok=True)
    return pool


def prepare(folder: Path, remote: str, revision: str) -> None:
    """Clone, if it has not been done; then the commit and nothing else: no experiments."""
    if not folder.exists():
        half = folder.with_suffix(".half")
        shutil.rmtree(half, ignore_errors=True)
        run(
            ["git", "clone", "--quiet", "--no-checkout", "--no-tags", remote, str(half)],
            folder.parent,
        )
        half.rename(folder)
    with Repository(folder) as repository:
        if not repository.commit(revision):
            run(["git", "fetch", "--quiet", "--no-tags", "origin"], folder)
        if not repository.commit(revision):
            raise PipelineError(f"{remote} has no commit {revision[:7]}; `git push` it")
        for ref in repository.git("for-each-ref", "--format=%(refname)", "refs/exps").split():
            run(["git", "update-ref", "-d", ref], folder)  # of a task that was killed, or is done
        (folder / ".git/index.lock").unlink(missing_ok=True)  # of a task that was killed
        run(["git", "checkout", "--quiet", "--force", "--detach", revision], folder)
        run(["git", "clean", "--quiet", "-ffd"], folder)
        if not repository.git("config", "user.email"):  # DVC commits experiments
            run(["git", "config", "user.name", getpass.getuser()], folder)
            run(
                ["git", "config", "user.email", f"{getpass.getuser()}@{os.uname().nodename}"],
                folder,
            )


def configure(clone: Path, project: Path | None) -> None:
    """Take over a project's own DVC settings: remotes, credentials, a shared cache.

    Paths are made absolute, also those of the settings that are in Git.
    """
    from dvc.config import Config

    local = clone / ".dvc/config.local"
    local.unlink(missing_ok=True)
    if project is None:
        return
    theirs = Config(dvc_dir=str(project / ".dvc"))
    own = theirs.load_one("local")
    with Config(dvc_dir=str(clone / ".dvc")).edit("local") as settings:
        for section, values in own.items():
            settings[section] = values
        for name, remote in theirs["remote"].items():
            settings["remote"][name] = dict(remote)
    local.chmod(0o600)
