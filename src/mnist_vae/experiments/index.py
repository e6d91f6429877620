"""Snapshots of commits, each read once: a commit never changes, and reading it takes long.

They are kept in .dvc/tmp, in a file that may be deleted at any time.
"""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path

from mnist_vae import inputs, params
from mnist_vae.errors import PipelineError, Unreadable
from mnist_vae.experiments import outputs, pipeline, yaml12
from mnist_vae.experiments import snapshot as snapshots
from mnist_vae.experiments.repository import Repository
from mnist_vae.experiments.snapshot import Snapshot

READERS = (snapshots, pipeline, outputs, inputs, params, yaml12)  # what reads a commit
INDEX = Path(".dvc/tmp/snapshots.db")
_TABLE = """CREATE TABLE IF NOT EXISTS snapshots
(reader TEXT, commit_id TEXT, key TEXT, results TEXT, content TEXT,
PRIMARY KEY (reader, commit_id))"""


def read(repository: Repository, commits: Sequence[str]) -> Iterator[tuple[str, Snapshot]]:
    """The commits and their snapshots; those that no pipeline can be read from are left out.

    Raises Unreadable, not to take a Git that fails for a commit that holds nothing.
    """
    with closing(_filled(repository, commits)) as index:
        rows = index.execute(
            "SELECT commit_id, content FROM snapshots WHERE reader = ?", (_reader(),)
        )
        known = dict(rows.fetchall())
    for commit in commits:
        if content := known.get(commit):
            yield commit, Snapshot(**json.loads(content))


def holding(repository: Repository, commits: Sequence[str], snapshot: Snapshot) -> list[str]:
    """Those of the commits that hold exactly this snapshot and these results."""
    with closing(_filled(repository, commits)) as index:
        rows = index.execute(
            "SELECT commit_id FROM snapshots WHERE reader = ? AND key = ? AND results = ?",
            (_reader(), snapshot.key, snapshot.results),
        )
        found = {commit for (commit,) in rows}
    return [commit for commit in commits if commit in found]


def _filled(repository: Repository, commits: Sequence[str]) -> sqlite3.Connection:
    """The index with these commits in it, or one in memory where there can be none."""
    with suppress(OSError):  # DVC makes the folder with its first command in a clone
        (repository.folder / INDEX).parent.mkdir(parents=True, exist_ok=True)
    try:
        return _fill(sqlite3.connect(repository.folder / INDEX, timeout=5), repository, commits)
    except sqlite3.Error:  # no folder, a full disk, damaged, in use by another process
        return _fill(sqlite3.connect(":memory:"), repository, commits)


def _fill(
    index: sqlite3.Connection, repository: Repository, commits: Sequence[str]
) -> sqlite3.Connection:
    reader = _reader()
    try:
        index.execute(_TABLE)
        rows = index.execute("SELECT commit_id FROM snapshots WHERE reader = ?", (reader,))
        known = {commit for (commit,) in rows}
        for commit in commits:
            if commit not in known and (found := _at(repository, commit)):
                row = (reader, commit, found.key, found.results, json.dumps(asdict(found)))
                index.execute("INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?, ?, ?)", row)
        index.commit()
    except Unreadable:
        index.commit()
        index.close()
        raise
    except sqlite3.Error:
        index.close()
        raise
    return index


def _at(repository: Repository, commit: str) -> Snapshot | None:
    try:
        return snapshots.for_run(snapshots.load(lambda path: repository.read(commit, path)))
    except PipelineError:
        return None


@cache
def _reader() -> str:
    """A hash of the code that reads a snapshot: what another version has read is not taken."""
    return outputs.md5(b"".join(Path(str(one.__file__)).read_bytes() for one in READERS))
