"""Make the store show exactly what Git and DVC hold: every experiment once, complete, and no more.

It mends a store that was lost or moved, experiments that were pulled, renamed or removed, runs
that training left unfinished, and whatever a store that was down has missed.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from mnist_vae.errors import PipelineError
from mnist_vae.experiments import origins, outputs
from mnist_vae.experiments import snapshot as snapshots
from mnist_vae.experiments.repository import Repository, root
from mnist_vae.experiments.snapshot import Snapshot
from mnist_vae.tracking import runs, upsert
from mnist_vae.tracking import tags as run_tags
from mnist_vae.tracking.store import Store, errors, file_lock, open_store

if TYPE_CHECKING:
    from dvc.api import DVCFileSystem
    from mlflow.entities import Run

EVALUATION = 24 * 3600 * 1000  # milliseconds that an experiment can take after its training


@dataclass
class _Entry:
    """A snapshot, the commits that hold it, and whether it is in the workspace."""

    snapshot: Snapshot
    commits: list[str] = field(default_factory=list)
    current: bool = False


def rebuild(prune: bool) -> Iterator[str]:
    """Bring the store up to date, and say line by line what was done and what is gone.

    A second time in a row changes nothing. `prune`: on a server, too, remove the runs of which
    this clone knows no experiment; the embedded store is always tidied.
    """
    with Repository(root()) as repository:
        committed = list(origins.discover(repository))
        entries, workspace = _entries(repository, committed)
        store = open_store(repository.folder)
        kept: dict[str, str] = {}
        said: dict[str, None] = {}  # why remotes give nothing, each reason once
        with errors(store.uri):
            for entry in entries:
                found = origins.of(repository, entry.snapshot, entry.commits, entry.current)
                tags = run_tags.of(repository, entry.snapshot, found)
                with TemporaryDirectory() as folder:
                    outcome = upsert.upsert(
                        store,
                        entry.snapshot,
                        tags,
                        origins.primary(found).repeat,
                        _from_history(repository, entry, Path(folder), said),
                        _moment(repository, entry),
                    )
                kept[outcome.run_id] = tags["mlflow.runName"]
                if outcome.added:
                    yield f"{tags['mlflow.runName']}: added {', '.join(outcome.added)}"
                for path in outcome.gone:
                    yield f"{tags['mlflow.runName']}: {path} is gone from DVC's cache and remotes"
            yield from (f"DVC's remote: {reason}" for reason in said)
            yield from _tidy(store, kept, workspace, prune)
        yield from _without_results(repository, committed)
    yield f"{len(kept)} experiments, each with its run"


def _entries(
    repository: Repository, committed: Sequence[tuple[str, Snapshot]]
) -> tuple[list[_Entry], Snapshot | None]:
    """Every distinct snapshot that has results, and the snapshot of the workspace."""
    entries: dict[tuple[str, str], _Entry] = {}
    for commit, snapshot in committed:
        if not snapshot.problem:
            identity = (snapshot.key, snapshot.results)
            entries.setdefault(identity, _Entry(snapshot)).commits.append(commit)
    try:
        workspace = snapshots.load(snapshots.workspace(repository.folder))
    except PipelineError:
        return list(entries.values()), None
    if not workspace.problem:
        identity = (workspace.key, workspace.results)
        entries.setdefault(identity, _Entry(workspace)).current = True
    return list(entries.values()), workspace


def _from_history(
    repository: Repository, entry: _Entry, folder: Path, said: dict[str, None]
) -> upsert.Fetch:
    """Give files from Git, or else from DVC's cache or remotes, through copies in `folder`.

    What is wrong with a remote itself is put into `said`.
    """
    commit = entry.commits[-1] if entry.commits else None
    opened: list[DVCFileSystem] = []  # once, and only if something is missing

    def fetch(path: str) -> Path | None:
        if commit is None:
            kept = repository.folder / path
            if kept.is_file():
                return kept
        copy = folder / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        found = repository.read(commit, path) if commit else None
        if found is not None:
            copy.write_bytes(found)
            return copy
        md5 = entry.snapshot.outputs.get(path, "")
        if cached := outputs.cached(repository.folder, md5):
            if not copy.exists():
                copy.symlink_to(cached)
            return copy
        from dvc.exceptions import DvcException

        try:
            opened[:] = opened or [outputs.files(repository.folder, commit)]
            opened[0].get_file(path, str(copy))
        except (OSError, DvcException):
            return None
        except Exception as error:  # of the remote's own library: no plugin, no password
            said[" ".join(str(error).split())] = None
            return None
        return copy

    return fetch


def _moment(repository: Repository, entry: _Entry) -> int | None:
    """When the results were first committed, in milliseconds."""
    if not entry.commits:
        return None
    seconds = repository.git("show", "-s", "--format=%ct", *entry.commits).split()
    return min(int(second) for second in seconds) * 1000


def _tidy(
    store: Store, kept: dict[str, str], workspace: Snapshot | None, prune: bool
) -> Iterator[str]:
    """Close or delete the project's runs that are not of any experiment."""
    unknown = 0
    doomed = []
    for run in runs.search(store, "tags.`dvc.key` != ''"):
        name, key = run.info.run_name, run.data.tags["dvc.key"]
        if run.info.run_id in kept or _is_live(store, key) or _awaits_results(run):
            continue
        if not (store.embedded or prune):
            unknown += 1
        elif workspace and key == workspace.key and workspace.problem:
            if run.info.status == "RUNNING":  # training was killed, and can go on
                store.client.set_terminated(run.info.run_id, "KILLED")
                yield f"{name}: was left RUNNING, is KILLED"
        else:
            doomed.append(run)
    # By now: experiments end at any time, and come home some time after their end.
    running = Repository(store.root).running() if doomed else set()
    held = _held(store.root) if doomed else set()
    for run in doomed:
        tags = run.data.tags
        known = (tags["dvc.key"], tags.get("dvc.results")) in held
        if not known and not running & set(tags.get("dvc.exp.name", "").split(", ")):
            runs.remove(store, run.info.run_id)
            yield f"{run.info.run_name}: removed, since no experiment has it"
    if unknown:
        yield f"{unknown} runs are of no experiment in this clone; --prune removes them"


def _held(folder: Path) -> set[tuple[str, str | None]]:
    """Key and results of all that stands in Git and in the workspace."""
    with Repository(folder) as repository:
        entries, _ = _entries(repository, list(origins.discover(repository)))
    return {(entry.snapshot.key, entry.snapshot.results) for entry in entries}


def _is_live(store: Store, key: str) -> bool:
    """Is a training on this machine logging to a run of this key?"""
    try:
        with file_lock(store.root, f"live-{key}", timeout=0):
            return False
    except PipelineError:
        return True


def _awaits_results(run: "Run") -> bool:
    """Has training ended lately, and `track` may be still to come? Evaluation takes its time."""
    fresh = time.time() * 1000 - (run.info.end_time or 0) < EVALUATION
    return run.info.status == "FINISHED" and "dvc.results" not in run.data.tags and fresh


def _without_results(
    repository: Repository, committed: Sequence[tuple[str, Snapshot]]
) -> Iterator[str]:
    """Name the experiments and branches that have no run, and why."""
    labels = repository.labels()
    names = {exp.commit: [exp.name] for exp in repository.experiments()} | labels
    for commit, snapshot in committed:
        if snapshot.problem and commit in names:
            yield f"{', '.join(names[commit])}: no run: {snapshot.problem}"
