"""Does a commit, an experiment or an MLflow run give its results again?

In a clone, in the environment that the commit's own requirements.lock says, from nothing and
without a cache.
"""

import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mnist_vae.errors import PipelineError
from mnist_vae.experiments import compare, outputs, pipeline
from mnist_vae.experiments import snapshot as snapshots
from mnist_vae.experiments.compare import Verdict
from mnist_vae.experiments.repository import Repository
from mnist_vae.experiments.snapshot import Snapshot
from mnist_vae.programs import OURS, run, settings
from mnist_vae.tracking.environment import SECONDS

RAW = Path("data/raw")
LOCK = "requirements.lock"
ENVIRONMENTS = Path(".dvc/tmp/environments")  # one per lock, so that a second time is quick
TRAINED = ".dvc/tmp/mlflow/trained"  # where a training notes its env.*


@dataclass(frozen=True)
class Rerun:
    """A commit that was run again: what it holds, the verdict, and the env.* of its training."""

    snapshot: Snapshot
    verdict: Verdict
    environment: Mapping[str, str]


def reproduce(root: Path, revision: str, folder: Path | None = None) -> Rerun:
    """Run a commit's or experiment's pipeline from nothing and compare it with its dvc.lock.

    The clone in a temporary folder (inside `folder`) has no DVC cache, and every stage but `track`
    runs there. MNIST comes from MNIST_MIRROR, or else from this project's data/raw if it is there:
    its bytes are checked against their pinned hashes either way.

    Raises PipelineError if the revision is unknown, its dvc.lock is missing or out of date, its
    environment cannot be made, or the pipeline fails.
    """
    with Repository(root) as repository:
        commit = repository.named(revision)
        committed = snapshots.load(lambda path: repository.read(commit, path))
        if committed.problem:
            problem = committed.problem
            raise PipelineError(f"{revision}: {problem}; run `dvc repro` and commit first")
        programs = _programs(root, repository.read(commit, LOCK))
        with tempfile.TemporaryDirectory(prefix="reproduce-", dir=folder) as name:
            whole, top = Path(name) / "project", repository.git("rev-parse", "--show-toplevel")
            run(["git", "clone", "--quiet", "--no-checkout", top, str(whole)], root)
            run(["git", "fetch", "--quiet", top, commit], whole)
            run(["git", "checkout", "--quiet", "--detach", commit], whole)
            clone = whole / repository.prefix
            if committed.data:
                images = committed.params["data_folder"]
                _bring_images(repository, commit, images, clone, Path(name))
            read = snapshots.workspace(clone)
            stages = dict.fromkeys(pipeline.producers(read).values())
            env = _settings(root, programs)
            whole_run = ("--force", "--no-run-cache")
            run(["dvc", "repro", *whole_run, *stages], clone, env, shown=True)
            verdict = compare.compare(repository, commit, committed, snapshots.load(read), clone)
            noted = [json.loads(file.read_text()) for file in (clone / TRAINED).glob("*.json")]
            return Rerun(committed, verdict, noted[0] if noted else {})


def _bring_images(repository: Repository, commit: str, path: str, clone: Path, place: Path) -> None:
    """Put a user's own images, if they are not in Git, into a clone, as the commit's dvc.lock says.

    Nothing outside of `place`, where the clone lies, is touched: it may be the originals.
    Raises PipelineError if nobody has them so.
    """
    here, there = repository.folder / path, clone / path
    ours = there.resolve().is_relative_to(place.resolve())
    if ours and not there.exists() and here.is_dir():
        shutil.copytree(here, there)
    if not outputs.changed(clone, path):
        return
    if ours and there.with_name(f"{there.name}.dvc").exists():  # the DVC cache may have others
        shutil.rmtree(there, ignore_errors=True)
        with suppress(Exception):  # DVC's and its remotes' many kinds; what counts comes below
            outputs.files(repository.folder, commit).get(path, str(there), recursive=True)
    if outputs.changed(clone, path):
        raise PipelineError(
            f"{path} is missing or holds other images than those that dvc.lock speaks of"
        )


def explain(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What differs between the environments of two trainings, as their env.* say; not how long."""
    common = before.keys() & now.keys() - {SECONDS}
    names = sorted(name for name in common if name.startswith("env."))
    return [f"{n}: {before[n]} before, {now[n]} now" for n in names if before[n] != now[n]]


def _programs(root: Path, lock: bytes | None) -> Path:
    """The folder of the programs of a lock's environment, which is made if need be."""
    here = root / LOCK
    if lock is None:
        print(
            f"warning: that commit has no {LOCK}; it runs in today's environment", file=sys.stderr
        )
        return OURS
    if here.exists() and here.read_bytes() == lock:
        return OURS
    digest = hashlib.sha256(lock).hexdigest()[:12]
    folder = root / ENVIRONMENTS / digest
    done = folder / "installed"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / LOCK).write_bytes(lock)
        print(f"making the environment of its {LOCK} in {folder}", file=sys.stderr, flush=True)
        _make(folder)
        done.touch()
    return folder / "bin"


def _make(folder: Path) -> None:
    """Install a lock into a folder, with uv if there is one."""
    python, lock = str(folder / "bin/python"), str(folder / LOCK)
    run([sys.executable, "-m", "venv", str(folder)], folder)
    exactly = ["--quiet", "--no-deps", "--require-hashes", "-r", lock]
    install = [python, "-m", "pip", "install", "--disable-pip-version-check", *exactly]
    if shutil.which("uv"):
        install = ["uv", "pip", "install", "--compile-bytecode", "--python", python, *exactly]
    try:
        run(install, folder)
    except PipelineError as error:
        version = ".".join(map(str, sys.version_info[:3]))
        raise PipelineError(
            f"the environment of its {LOCK} cannot be made with Python {version}: {error}"
        ) from None


def _settings(root: Path, programs: Path) -> dict[str, str]:
    """Without the live view, and with this project's own MNIST if no other source is named."""
    ours = settings(programs, MNIST_VAE_LIVE="off")
    if (root / RAW).is_dir():
        ours.setdefault("MNIST_MIRROR", str((root / RAW).resolve()))
    return ours
