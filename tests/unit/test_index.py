"""What the index says of commits is what reading them says, and reads each only once."""

import os
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from mnist_vae.experiments import index
from mnist_vae.experiments.repository import Repository
from tests.support.git import commit, git

PIPELINE = "stages: {a: {cmd: run, params: [seed]}}"
LOCK = "stages: {a: {cmd: run, params: {params.yaml: {seed: SEED}}, outs: [{path: b, md5: SEED}]}}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    (tmp_path / ".gitignore").write_text(".dvc\n")
    return tmp_path


@pytest.fixture
def commits(folder: Path) -> list[str]:
    """Two of seed 1, one of seed 2, one that cannot be read."""
    made = [
        commit(folder, params_yaml=f"seed: {seed}", dvc_yaml=PIPELINE, dvc_lock=lock, other=other)
        for seed, other in ((1, "a"), (1, "b"), (2, "a"))
        for lock in [LOCK.replace("SEED", str(seed))]
    ]
    return [*made, commit(folder, params_yaml="[]")]


def seeds(folder: Path, commits: list[str]) -> list[tuple[str, int]]:
    with Repository(folder) as repository:
        return [(one, found.params["seed"]) for one, found in index.read(repository, commits)]


def test_commits_are_read_once(folder: Path, commits: list[str]) -> None:
    expected = [(commits[0], 1), (commits[1], 1), (commits[2], 2)]
    assert seeds(folder, commits) == expected
    shutil.rmtree(folder / ".git")
    commits = commits[:3]  # what cannot be read is tried again
    assert seeds(folder, commits) == expected
    assert seeds(folder, commits[1:2]) == expected[1:2]


def test_every_module_that_reads_a_snapshot_is_a_reader() -> None:
    """Where code that decides over keys and problems moves to, the index must follow."""
    names = {str(one.__name__) for one in index.READERS}
    for module in (index.snapshots, index.pipeline):
        text = Path(str(module.__file__)).read_text(encoding="utf-8")
        used = re.findall(r"^from (mnist_vae[\w.]*) import ", text, re.MULTILINE)
        assert used
        assert {name for name in used if not name.endswith((".errors", ".experiments"))} <= names
    assert "mnist_vae.experiments.pipeline" in names


def test_who_holds_a_snapshot_is_known_without_the_others(folder: Path, commits: list[str]) -> None:
    with Repository(folder) as repository:
        ((_, first),) = index.read(repository, commits[:1])
        assert index.holding(repository, commits, first) == commits[:2]
        assert index.holding(repository, commits[1:], first) == commits[1:2]


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\x00 broken"])
def test_a_damaged_index_is_none(folder: Path, commits: list[str], content: bytes) -> None:
    (folder / index.INDEX).write_bytes(content)
    assert len(seeds(folder, commits)) == 3


def test_one_that_another_process_holds_is_not_waited_for_long(
    folder: Path, commits: list[str]
) -> None:
    with closing(sqlite3.connect(folder / index.INDEX)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert len(seeds(folder, commits)) == 3


def test_without_a_place_for_it_commits_are_read_each_time(
    folder: Path, commits: list[str]
) -> None:
    (folder / ".dvc/tmp").rmdir()
    (folder / ".dvc/tmp").touch()
    assert len(seeds(folder, commits)) == 3
    assert not os.path.lexists(folder / index.INDEX)


def test_the_folder_for_it_is_made(folder: Path, commits: list[str]) -> None:
    (folder / ".dvc/tmp").rmdir()
    assert len(seeds(folder, commits)) == 3
    assert (folder / index.INDEX).is_file()


def test_what_another_version_of_the_code_has_read_is_not_taken(
    folder: Path, commits: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "_reader", lambda: "older")
    expected = seeds(folder, commits)
    with closing(sqlite3.connect(folder / index.INDEX)) as database, database:
        database.execute("UPDATE snapshots SET content = '{}', key = '', results = ''")
    monkeypatch.undo()
    assert seeds(folder, commits) == expected
