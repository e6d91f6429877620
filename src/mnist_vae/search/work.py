"""One trial after the other, each an ordinary `dvc exp run` in a clone inside of .dvc/tmp.

There no edit in the workspace can come between, and a kill leaves the workspace alone. An
experiment is fetched from there when it is whole.
"""

import fcntl
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mnist_vae import checkpoint, programs
from mnist_vae.errors import PipelineError
from mnist_vae.experiments import outputs
from mnist_vae.experiments.repository import Repository
from mnist_vae.reproduce import TRAINED
from mnist_vae.search import study, trials
from mnist_vae.search.space import Space
from mnist_vae.search.study import Method, Proposal
from mnist_vae.search.trials import Trial
from mnist_vae.sweep import child, clone
from mnist_vae.sweep.child import Signals, Stopped
from mnist_vae.sweep.plan import dvc_remote

PLACE = Path(".dvc/tmp/search")  # the clone
_EPOCH = re.compile(r"epoch +(\d+)/(\d+) .* validation (-?[\d.]+|nan|-?inf) ")
_TOLD = ("epoch", "going on", "warning:")  # lines of a trial that are shown
_OWN = ("training diverged", "out of memory")  # failures that the settings are to blame for


@dataclass(frozen=True)
class Clone:
    """Where trials run; the lock that they hold, and the signals that reach them."""

    folder: Path
    lock: IO[str]
    signals: Signals


@dataclass(frozen=True)
class Search:
    """A space on a commit, its metric's column, and how points are chosen."""

    root: Path
    head: str
    space: Space
    metric: str
    method: Method

    def trials(self) -> list[Trial]:
        """All trials so far, as Git has them."""
        with Repository(self.root) as repository:
            return trials.read(repository, self.head, self.space, self.metric)


def run(search: Search, wanted: int, tell: Callable[[str], None]) -> None:
    """Run trials until there are so many of all kinds, or no point is left.

    Raises PipelineError if another search runs in this clone, a signal asks to stop, or a trial
    fails for a reason that is not its settings'.
    """
    try:
        with _alone(search.root, tell) as lock, Signals() as signals:
            ours = Clone(_folder(search), lock, signals)
            if ours.folder.exists():
                _bring_home(search, ours.folder)  # what a killed search could not
            if len(search.trials()) < wanted:
                _reset(search)
                _outputs(search, ours.folder)
            while len(found := search.trials()) < wanted:
                proposal = study.propose(search.space, found, search.metric, search.method)
                if proposal is None:
                    tell("every point of the space that params.yaml allows has been tried")
                    return
                name = search.space.experiment(proposal.values)
                tell(f"trial {len(found) + 1} of {wanted}: {name}")
                _reset(search)
                tell(f"  {_one(search, proposal, name, ours, tell)}")
    except Stopped as stopped:
        raise PipelineError(f"stopped {stopped}; the same command goes on from here") from None


def _one(
    search: Search, proposal: Proposal, name: str, ours: Clone, tell: Callable[[str], None]
) -> str:
    """Run a trial and note what came of it; that in words."""
    with Repository(search.root) as repository:
        if any(e.name == name and e.baseline == search.head for e in repository.experiments):
            raise PipelineError(
                f"there is an experiment {name} already, of other code or without results: "
                "`dvc exp rename` or `dvc exp remove` it"
            )
    env = _settings(search, name)
    command = ["dvc", "exp", "run", "--name", name]
    command += ["--pull"] if dvc_remote(ours.folder) else []
    command += [part for one in search.space.settings(proposal.values) for part in ("-S", one)]
    curve: dict[int, float] = {}
    ended: list[int] = []

    def hear(line: str) -> None:
        if line.startswith(_TOLD):
            tell(f"  {line.rstrip()}")
        if epoch := _EPOCH.match(line):
            number, last, value = int(epoch[1]), int(epoch[2]), float(epoch[3])
            curve[number] = value
            if number < last and not ended and proposal.hopeless(number, value):
                ended.append(number)
                ours.signals.interrupt()

    status, said = child.watch(command, ours.folder, env, ours.signals, ours.lock, hear)
    if name in _bring_home(search, ours.folder):
        told = _result(search, name)
    elif ours.signals.asked:
        raise Stopped(f"by {ours.signals.asked}")
    elif ended:
        _note(search, Trial(name, "pruned", proposal.values, curve))
        told = f"pruned after epoch {ended[0]}"
    elif status and any(words in child.reason(said) for words in _OWN):
        _note(search, Trial(name, "failed", proposal.values, {}, child.reason(said)))
        told = f"failed: {child.reason(said)}"
    else:
        why = child.reason(said) if status else "it made no experiment"
        raise PipelineError(f"trial {name}: {why}")
    shutil.rmtree(env[checkpoint.PLACE], ignore_errors=True)
    return told


def _result(search: Search, name: str) -> str:
    done = [trial for trial in search.trials() if trial.state == "done"]
    values = {search.space.experiment(trial.values): trial.value for trial in done}
    if name not in values:  # it would be run for ever
        raise PipelineError(f"experiment {name} has run, but has no {search.metric}")
    return f"{search.metric} {values[name]:.3f}"


def _note(search: Search, trial: Trial) -> None:
    with Repository(search.root) as repository:
        trials.note(repository, search.head, search.space, search.metric, trial)


def _folder(search: Search) -> Path:
    """The project's folder in the clone."""
    with Repository(search.root) as repository:
        return search.root / PLACE / repository.prefix


def _reset(search: Search) -> None:
    """The clone at the commit, without experiments; it is made if there is none."""
    with Repository(search.root) as repository:
        top = repository.git("rev-parse", "--show-toplevel")
    whole = search.root / PLACE
    if whole.exists():
        programs.run(["git", "fetch", "--quiet", "--no-tags", top, search.head], whole)
    clone.prepare(whole, top, search.head)


def _outputs(search: Search, folder: Path) -> None:
    """The project's DVC cache and settings for the clone, and the commit's outputs in it."""
    from dvc.config import Config

    clone.configure(folder, search.root)
    with Config(dvc_dir=str(folder / ".dvc")).edit("local") as settings:
        settings.setdefault("cache", {})["dir"] = outputs.place(search.root)
    checkout = ["dvc", "checkout", "--quiet", "--allow-missing"]
    programs.run(checkout, folder, _settings(search, "checkout"))


def _bring_home(search: Search, folder: Path) -> list[str]:
    """Make the MLflow runs of experiments in the clone, and fetch them: their names."""
    space = f"refs/exps/{search.head[:2]}/{search.head[2:]}/"
    with Repository(folder) as repository:
        refs = repository.git("for-each-ref", "--format=%(refname)", space).split()
    names = [ref.removeprefix(space) for ref in refs]
    for name in names:  # never more than one
        if (folder / TRAINED).is_dir():
            shutil.copytree(folder / TRAINED, search.root / TRAINED, dirs_exist_ok=True)
        env = programs.settings(PYTHONPATH="src", DVC_ROOT=str(search.root), DVC_EXP_NAME=name)
        env["DVC_EXP_BASELINE_REV"] = search.head
        programs.run([sys.executable, "-m", "stages", "track"], folder, env)
        fetch = ["git", "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", str(folder)]
        programs.run([*fetch, f"{space}{name}:{space}{name}"], search.root)
    return names


def _settings(search: Search, name: str) -> dict[str, str]:
    """For DVC and its stages; the MLflow run is made when the experiment is there."""
    env = programs.settings(PYTHONUNBUFFERED="1", MNIST_VAE_TRACK="off")
    env["DVC_SITE_CACHE_DIR"] = str(search.root / f"{PLACE}.site")
    kept = Path(env.get(checkpoint.PLACE) or search.root / checkpoint.FOLDER)
    env[checkpoint.PLACE] = str(kept / "search" / name)
    if not env.get("MLFLOW_TRACKING_URI"):
        env["MNIST_VAE_LIVE"] = "off"  # it would be in a store of the clone's
    return env


@contextmanager
def _alone(root: Path, tell: Callable[[str], None]) -> Iterator[IO[str]]:
    """One search at a time: the lock that its trials hold, too."""
    ours, trial = (root / f"{PLACE}.{kind}" for kind in ("lock", "trial"))
    ours.parent.mkdir(parents=True, exist_ok=True)
    with ours.open("w") as search, trial.open("w") as lock:
        try:
            fcntl.flock(search, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PipelineError(
                "another search runs in this clone; one at a time, or each in a clone of its own"
            ) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell("waiting for the trial of a search that was killed to end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock
