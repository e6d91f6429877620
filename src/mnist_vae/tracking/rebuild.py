"""Make the store show what Git and DVC hold: every experiment once, complete, and no more.

It mends a store that was lost or moved, experiments that were pulled, renamed or removed, runs
that training left unfinished, and whatever a store that was down has missed. Experiments are DVC's,
and the results at HEAD and at the tips of branches and tags. Results of older commits keep the run
that they have, but get a new one only if the whole history is asked for.
"""

import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tqdm import tqdm

from mnist_vae.errors import PipelineError
from mnist_vae.experiments import origins, outputs
from mnist_vae.experiments import snapshot as snapshots
from mnist_vae.experiments.repository import Repository, root
from mnist_vae.experiments.snapshot import Snapshot
from mnist_vae.tracking import about, runs, seen, upsert
from mnist_vae.tracking import tags as run_tags
from mnist_vae.tracking.events import Event
from mnist_vae.tracking.faults import errors
from mnist_vae.tracking.seen import RESULTS, Seen
from mnist_vae.tracking.store import Store, file_lock, open_store
from mnist_vae.tracking.writer import Fetch

if TYPE_CHECKING:
    from dvc.api import DVCFileSystem

DAY = 24 * 3600 * 1000  # milliseconds


@dataclass
class _Entry:
    """A snapshot, the commits that hold it, and whether it is in the workspace."""

    snapshot: Snapshot
    commits: list[str] = field(default_factory=list)
    current: bool = False


def rebuild(prune: bool, history: bool = False) -> Iterator[str]:
    """As `events`, in lines for people."""
    yield from map(str, events(prune, history))


def events(prune: bool, history: bool) -> Iterator[Event]:
    """Bring the store up to date, and tell one by one what was done and what is gone.

    A second time in a row changes nothing. `prune`: remove every run of which this clone knows
    neither experiment nor commit; else only from the embedded store, and only what ended over a day
    ago. `history`: make runs of older commits' results, too.
    """
    with Repository(root()) as repository:
        committed = list(origins.discover(repository))
        entries = _entries(repository, committed)
        store = open_store(repository.folder)
        kept: set[str] = set()
        said: dict[str, None] = {}  # why remotes give nothing, each reason once
        with errors(store.uri), TemporaryDirectory() as copies:
            about.describe(store)
            there = seen.look(store)
            chosen = entries if history else _current(there, repository, entries)
            for entry in (bar := tqdm(chosen, desc="runs", disable=None, leave=False)):
                found = origins.of(repository, entry.snapshot, entry.commits, entry.current)
                tags = run_tags.of(repository, entry.snapshot, found)
                repeat, folder = origins.primary(found).repeat, Path(copies, str(len(kept)))
                fetch = _from_history(repository, entry, folder, said)
                outcome = upsert.settled(
                    store, there, entry.snapshot, tags, repeat, fetch
                ) or upsert.upsert(
                    store, entry.snapshot, tags, repeat, fetch, _moment(repository, entry)
                )
                shutil.rmtree(folder, ignore_errors=True)
                kept.add(outcome.run_id)
                bar.clear()
                for what, parts in (("added", outcome.added), ("gone", outcome.gone)):
                    if parts:
                        yield Event(what, tags["mlflow.runName"], parts)
            yield from (Event("remote", parts=(reason,)) for reason in said)
            yield from _tidy(store, there, kept, prune)
        yield from _without_results(repository, committed)
    if older := len(entries) - len(chosen):
        yield Event("older", count=older)
    yield Event("runs", count=len(kept))


def _entries(repository: Repository, committed: Sequence[tuple[str, Snapshot]]) -> list[_Entry]:
    """Every distinct snapshot that has results, the workspace's too."""
    entries: dict[tuple[str, str], _Entry] = {}
    for commit, snapshot in committed:
        if not snapshot.problem:
            identity = (snapshot.key, snapshot.results)
            entries.setdefault(identity, _Entry(snapshot)).commits.append(commit)
    try:
        workspace = snapshots.load(snapshots.workspace(repository.folder))
    except PipelineError:
        return list(entries.values())
    if not workspace.problem:
        identity = (workspace.key, workspace.results)
        entries.setdefault(identity, _Entry(workspace)).current = True
    return list(entries.values())


def _current(there: Seen, repository: Repository, entries: Sequence[_Entry]) -> Sequence[_Entry]:
    """What stands at a tip, in an experiment or in the workspace, or has a run already."""
    tips = {*repository.tips, *(exp.commit for exp in repository.experiments)}
    results = {
        (key, run.data.tags.get(RESULTS)) for key, found in there.runs.items() for run in found
    }

    def wanted(entry: _Entry) -> bool:
        key = entry.snapshot.key
        has_run = {(key, entry.snapshot.results), (key, None)} & results  # None: not completed yet
        return bool(entry.current or tips & set(entry.commits) or has_run)

    return [entry for entry in entries if wanted(entry)]


def _from_history(
    repository: Repository, entry: _Entry, folder: Path, said: dict[str, None]
) -> Fetch:
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
    made = [repository.made(commit) for commit in entry.commits]
    return min((one.moment for one in made if one), default=0) * 1000 or None


def _tidy(store: Store, there: Seen, kept: set[str], prune: bool) -> Iterator[Event]:
    """Delete the project's runs that are of no experiment and ended over a day ago.

    By then what is under way has come home: training, evaluation, a push. On a server, where
    others have experiments of their own, and for younger runs only with `prune`.
    """
    unknown = 0
    strange = [run_id for run_id in there.ids if run_id not in kept]
    for run in map(store.client.get_run, strange):  # as it is by now
        name, run_id = run.info.run_name, run.info.run_id
        if run.info.lifecycle_stage != "active" or _is_live(store, run.data.tags["dvc.key"]):
            continue
        ended = run.info.end_time
        if store.embedded and run.info.status == "RUNNING":  # its training was killed
            store.client.set_terminated(run_id, "KILLED")
            yield Event("killed", name)
            ended = None
        old = ended is not None and time.time() * 1000 - ended > DAY
        if prune or (store.embedded and old):
            runs.remove(store, run_id)
            yield Event("removed", name)
        else:
            unknown += 1
    if unknown:
        yield Event("unknown", count=unknown)


def _is_live(store: Store, key: str) -> bool:
    """Is a training on this machine logging to a run of this key?"""
    try:
        with file_lock(store.root, f"live-{key}", timeout=0):
            return False
    except PipelineError:
        return True


def _without_results(
    repository: Repository, committed: Sequence[tuple[str, Snapshot]]
) -> Iterator[Event]:
    """Name the experiments and branches that have no run, and why."""
    labels = repository.labels
    names = {exp.commit: [exp.name] for exp in repository.experiments} | labels
    for commit, snapshot in committed:
        if snapshot.problem and commit in names:
            yield Event("no run", ", ".join(names[commit]), (snapshot.problem,))
