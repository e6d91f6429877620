"""The stages' outputs as DVC keeps them: in its cache, and in its remotes."""

import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_vae.errors import PipelineError

if TYPE_CHECKING:
    from dvc.api import DVCFileSystem
    from dvc_data.hashfile.db import HashFileDB

    from mnist_vae.experiments.repository import Repository
    from mnist_vae.experiments.snapshot import Snapshot

REMEDY = (
    "`dvc fetch --all-commits` or, for an experiment, `dvc exp pull` gets it from a remote; at its "
    "commit, `dvc repro` makes it again"
)


def md5(content: bytes) -> str:
    """The hash by which DVC knows a file of this content."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def cached(folder: Path, md5: str) -> Path | None:
    """Where the cache of the project in `folder` has an output, or a folder's listing, if it does.

    This needs no remote, which may be out of order.
    """
    path = Path(_cache(folder).oid_to_path(md5)) if md5 else None
    return path if path and path.is_file() else None


def held(folder: Path, md5: str, path: str, owner: str) -> Path:
    """As `cached`; PipelineError that names the output and whose it is, if the cache lost it."""
    found = cached(folder, md5)
    if found is None:
        raise PipelineError(f"{path} of {owner} is not in the DVC cache; {REMEDY}")
    return found


def in_git(repository: "Repository", commit: str, snapshot: "Snapshot", path: str) -> bytes:
    """An output that Git keeps, as it is in a commit.

    Raises PipelineError if it is not the one that the commit's dvc.lock speaks of.
    """
    content = repository.read(commit, path)
    if content is None or md5(content) != snapshot.outputs.get(path):
        raise PipelineError(
            f"{path} in {commit[:7]} is not what its dvc.lock speaks of; both belong in one commit"
        )
    return content


def place(folder: Path) -> str:
    """The folder of a project's DVC cache."""
    from dvc.repo import Repo

    with Repo(str(folder)) as repo:
        return str(repo.cache.local_cache_dir)


@cache
def _cache(folder: Path) -> "HashFileDB":
    from dvc.repo import Repo

    with Repo(str(folder)) as repo:
        local: HashFileDB = repo.cache.local
        return local


def changed(folder: Path, path: str) -> bool:
    """Is a file or folder that stages read not as the dvc.lock in `folder` has it, or gone?"""
    from dvc.repo import Repo

    with Repo(str(folder)) as repo:
        wanted = (folder / path).resolve()
        deps = [dep for stage in repo.index.stages for dep in stage.deps]
        return any(
            Path(dep.fs_path).resolve() == wanted and bool(dep.workspace_status()) for dep in deps
        )


def files(folder: Path, commit: str | None) -> "DVCFileSystem":
    """A commit's outputs in the cache and in today's remotes, which can be younger than it."""
    from dvc.api import DVCFileSystem
    from dvc.repo import Repo

    with Repo(str(folder)) as repo:
        return DVCFileSystem(str(folder), rev=commit, config=dict(repo.config))
