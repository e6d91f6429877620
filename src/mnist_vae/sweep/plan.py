"""The sweep file: what every task needs to know, wherever it runs."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from mnist_vae import params, programs
from mnist_vae.errors import PipelineError
from mnist_vae.experiments import snapshot as snapshots
from mnist_vae.experiments.repository import Repository
from mnist_vae.files import write_text
from mnist_vae.sweep import points
from mnist_vae.sweep.points import BASELINE, Point

SWEEPS = Path("sweeps")


@dataclass(frozen=True)
class Sweep:
    """A commit, and the experiments on it that are wanted.

    remote: the address of the Git remote that has the commit and gets the experiments; folder: the
    project's, inside the repository; checkpoints: where trainings that were stopped leave theirs.
    """

    name: str
    revision: str
    remote: str
    folder: str
    checkpoints: str
    points: tuple[Point, ...]

    @property
    def refs(self) -> str:
        """Where the experiments stand, in Git's terms; their names follow."""
        return f"refs/exps/{self.revision[:2]}/{self.revision[2:]}/"

    def point(self, index: int) -> Point:
        """Raises PipelineError if there is no such point."""
        if not 0 <= index < len(self.points):
            last = len(self.points) - 1
            raise PipelineError(f"sweep {self.name} has no point {index}; it has 0 to {last}")
        return self.points[index]


def file_of(root: Path, name: str) -> Path:
    return root / SWEEPS / f"{name}.yaml"


def folder_of(root: Path, name: str) -> Path:
    """Where a sweep's log, its tasks' output and its job script are."""
    return root / SWEEPS / name


def new(
    root: Path, name: str, wanted: Sequence[Sequence[str]], revision: str | None, remote: str
) -> tuple[Sweep, int]:
    """Check every point and write the sweep file; also how many points are the commit itself.

    Raises PipelineError, one line, if a point is not allowed, the commit is not on the Git remote,
    there is no DVC remote, or files differ from the commit (unless a revision is named).
    """
    if not re.fullmatch(r"\w[\w.-]*", name, re.ASCII):
        raise PipelineError(f"{name!r}: a sweep's name is letters, digits, `-`, `_` and `.`")
    with Repository(root) as repository:
        commit = repository.commit(revision or "HEAD")
        if not commit:
            raise PipelineError(f"{revision or 'HEAD'} is no commit")
        if not revision and (edited := repository.edited()):
            raise PipelineError(
                f"{edited[0]} differs from HEAD, which is what a sweep runs: commit first, or name "
                "a commit with --rev"
            )
        texts = [repository.read(commit, str(path)) for path in (params.PARAMS, params.SCHEMA)]
        if None in texts:
            raise PipelineError(f"{commit[:7]} has no {params.PARAMS} or no {params.SCHEMA}")
        found = points.check(wanted, *(text or b"" for text in texts))
        complete = not snapshots.load(lambda path: repository.read(commit, path)).problem
        address = _address(repository, remote)
        if not repository.on_remote(commit, remote):
            raise PipelineError(
                f"{remote} does not have {commit[:7]}, as far as this clone knows: `git push` it, "
                f"or `git fetch {remote}`"
            )
        prefix = repository.prefix
    if not dvc_remote(root):
        raise PipelineError(
            "there is no DVC remote, which would carry data to the nodes and results back: "
            "`dvc remote add --default NAME <address or folder>`"
        )
    kept = tuple(point for point in found if not (complete and point.name == BASELINE))
    if not kept:
        raise PipelineError("every point is the commit itself: there is nothing to do")
    sweep = Sweep(
        name, commit, address, prefix, str((folder_of(root, name) / "checkpoints").resolve()), kept
    )
    if file_of(root, name).exists() and read(file_of(root, name)) != sweep:
        raise PipelineError(
            f"{file_of(SWEEPS.parent, name)} exists and holds something else; take another name, "
            "or delete it"
        )
    write_text(file_of(root, name), _text(sweep))
    return sweep, len(found) - len(kept)


def share(root: Path) -> str:
    """Push what the workspace's stages have made, so that nodes need not make it again.

    Empty, or why that was not possible.
    """
    try:
        programs.run(["dvc", "push", "--quiet"], root, programs.settings())
    except PipelineError as error:
        return f"{error}; nodes will make for themselves what the DVC remote does not have"
    return ""


def named(root: Path | None, name: str) -> Sweep:
    """The sweep of a name, or of a file if that is a path.

    Raises PipelineError if there is none.
    """
    file = Path(name)
    if file.suffix != ".yaml":
        if root is None:
            raise PipelineError(f"outside of a project, give the sweep's file instead of {name}")
        file = file_of(root, name)
    return read(file)


def read(file: Path) -> Sweep:
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise PipelineError(f"there is no sweep file {file}; `vae sweep new` makes one") from None
    held = params.parse(content, str(file))
    try:
        listed = tuple(
            Point(str(point["experiment"]), tuple(map(str, point["settings"])))
            for _, point in sorted(held["points"].items())
        )
        return Sweep(
            name=file.stem,
            revision=str(held["revision"]),
            remote=str(held["remote"]),
            folder=str(held["folder"]),
            checkpoints=str(held["checkpoints"]),
            points=listed,
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise PipelineError(f"{file} is no sweep file ({type(error).__name__}: {error})") from None


def _text(sweep: Sweep) -> str:
    head = {
        "revision": sweep.revision,
        "remote": sweep.remote,
        "folder": sweep.folder,
        "checkpoints": sweep.checkpoints,
    }
    lines = [f"# Made by `vae sweep new`. A point: `vae sweep work {sweep.name} INDEX`."]
    lines += [f"{key}: {json.dumps(value)}" for key, value in head.items()]
    lines.append("points:")
    for index, point in enumerate(sweep.points):
        shown: Mapping[str, object] = {"experiment": point.name, "settings": list(point.settings)}
        lines.append(f"  {index}: {json.dumps(shown)}")
    return "\n".join(lines) + "\n"


def _address(repository: Repository, remote: str) -> str:
    """The address of a Git remote, for any folder of any machine."""
    found = repository.git("remote", "get-url", remote)
    if not found:
        raise PipelineError(
            f"there is no Git remote {remote}, from which nodes would get the commit: "
            f"`git remote add {remote} <address>` and `git push`"
        )
    if urlsplit(found).password:
        raise PipelineError(
            f"the address of {remote} holds a password, which would stand in the sweep file; use a "
            "credential helper or SSH"
        )
    here = repository.folder / found
    return str(here.resolve()) if here.exists() else found


def dvc_remote(root: Path) -> str:
    """The name of a project's default DVC remote; empty if there is none."""
    from dvc.config import Config

    return str(Config(dvc_dir=str(root / ".dvc"))["core"].get("remote", ""))
