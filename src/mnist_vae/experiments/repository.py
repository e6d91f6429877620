"""The project's Git repository, by plain git commands: files, refs and commits."""

import codecs
import os
import re
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from mnist_vae.errors import PipelineError, Unreadable

_EXPERIMENT = re.compile(r"refs/exps/([0-9a-f]{2})/([0-9a-f]{38})/(.+)")
_PERSON = re.compile(r"(.*?) ?<[^>]*> (\d+) [+-]\d+")  # of a commit: name, address, time, zone


def root() -> Path:
    """The main project's folder, also from a temporary workspace of `dvc exp run`.

    There DVC sets DVC_ROOT to the main project. Raises PipelineError outside of a DVC project.
    """
    if "DVC_ROOT" in os.environ:
        return Path(os.environ["DVC_ROOT"]).resolve()
    here = Path.cwd().resolve()
    for folder in (here, *here.parents):
        if (folder / ".dvc").is_dir():
            return folder
    raise PipelineError(f"{here} is not inside a DVC project")


@dataclass(frozen=True)
class Made:
    """Who wrote a commit, and when it was committed, in seconds."""

    author: str
    moment: int


@dataclass(frozen=True, order=True)
class Experiment:
    """A DVC experiment: a commit under refs/exps, named, on top of a baseline commit."""

    baseline: str
    name: str
    commit: str


class Repository:
    """Reads the Git repository that holds the DVC project in `folder`.

    What it lists it lists once: open another to see what has changed since. A context manager: its
    end is the end of the process that reads.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> "Repository":
        return self

    def __exit__(self, *_: object) -> None:
        if "_batch" in vars(self):
            self._batch.communicate()

    def git(self, *arguments: str) -> str:
        """The output of a git command, stripped; empty if git fails."""
        done = self._run(*arguments)
        return done.stdout.strip() if done.returncode == 0 else ""

    def _run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        plain = ("-c", "log.showSignature=false")  # which would write into what we read
        return subprocess.run(
            ["git", *plain, *arguments], cwd=self.folder, capture_output=True, encoding="utf-8"
        )

    def _lines(self, *arguments: str) -> list[str]:
        """The lines of a git command that lists something.

        Raises PipelineError if git fails: a list that cannot be had is no empty one.
        """
        done = self._run(*arguments)
        if done.returncode:
            said = done.stderr.strip().splitlines() or ["no reason given"]
            raise PipelineError(f"git {arguments[0]} failed in {self.folder}: {said[0]}")
        return done.stdout.splitlines()

    @cached_property
    def _batch(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            ["git", "cat-file", "--batch"],
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    @cached_property
    def prefix(self) -> str:
        """The project's folder inside the repository, with a slash; empty where it is all of it."""
        return self.git("rev-parse", "--show-prefix")

    def read(self, commit: str, path: str) -> bytes | None:
        """A file's bytes at a commit; None if it is not there. Raises Unreadable."""
        return self._object(f"{commit}:{self.prefix}{path}", b"blob")

    def made(self, commit: str) -> Made | None:
        """Who wrote a commit and when; None if it is not there."""
        content = self._object(commit, b"commit")
        if content is None:
            return None
        head = dict(
            line.split(b" ", 1) for line in content.split(b"\n\n")[0].splitlines() if b" " in line
        )
        encoding = head.get(b"encoding", b"utf-8").decode()
        try:
            codecs.lookup(encoding)
        except LookupError:  # Git keeps whatever i18n.commitEncoding says
            encoding = "utf-8"
        author = _PERSON.fullmatch(head[b"author"].decode(encoding, "replace"))
        committer = _PERSON.fullmatch(head[b"committer"].decode(encoding, "replace"))
        return Made(author[1], int(committer[2])) if author and committer else None

    def _object(self, name: str, kind: bytes) -> bytes | None:
        """The content of what Git stores under a name; None if that is nothing of this kind.

        Raises Unreadable if Git ends over it, as in a partial clone that cannot fetch it.
        """
        stdin, stdout = self._batch.stdin, self._batch.stdout
        if stdin is None or stdout is None:  # never: they are pipes
            return None
        with suppress(BrokenPipeError):
            stdin.write(f"{name}\n".encode())
            stdin.flush()
        header = stdout.readline().split()
        if not header:
            self._ended(name)
        if len(header) != 3 or header[-1] == b"missing":  # "<what was asked> missing"
            return None
        content = stdout.read(int(header[2]) + 1)
        if len(content) != int(header[2]) + 1:
            self._ended(name)
        return content[:-1] if header[1] == kind else None

    def _ended(self, name: str) -> None:
        with suppress(BrokenPipeError):
            self._batch.communicate()
        del self._batch  # the next question asks another one
        if self.git("rev-parse", "--git-dir"):  # and not outside of any repository
            raise Unreadable(
                f"git ended over {name}: the object is damaged, or a partial clone cannot fetch it"
            )

    def resolve(self, name: str) -> str:
        """The commit of a revision or of an experiment's name; empty if there is none.

        Raises PipelineError if experiments of several baselines bear the name.
        """
        commits = {exp.commit for exp in self.experiments if exp.name == name}
        if len(commits) > 1:
            raise PipelineError(
                f"{len(commits)} experiments are named {name}; name one by its commit: "
                + ", ".join(sorted(commit[:7] for commit in commits))
            )
        return commits.pop() if commits else self.commit(name)

    def named(self, name: str) -> str:
        """As `resolve`; PipelineError if there is none."""
        commit = self.resolve(name)
        if not commit:
            raise PipelineError(f"{name} is neither a revision nor an experiment's name")
        return commit

    def commit(self, revision: str) -> str:
        """The full hash of a revision's commit; empty if there is none."""
        return self.git("rev-parse", "--quiet", "--verify", f"{revision}^{{commit}}")

    def edited(self) -> list[str]:
        """Tracked files that differ from HEAD."""
        return self._lines("diff", "--name-only", "--relative", "HEAD", "--")

    def on_remote(self, commit: str, remote: str) -> bool:
        """Does a Git remote have the commit, as far as this clone knows?"""
        return not self._lines("rev-list", "-1", commit, "--not", f"--remotes={remote}")

    def branch(self) -> str:
        """The current branch; empty where HEAD is detached."""
        return self.git("symbolic-ref", "--quiet", "--short", "HEAD")

    @cached_property
    def experiments(self) -> list[Experiment]:
        """All DVC experiments, sorted by ref."""
        found = []
        for line in self._lines("for-each-ref", "--format=%(objectname) %(refname)", "refs/exps"):
            commit, ref = line.split(" ", 1)
            if match := _EXPERIMENT.fullmatch(ref):
                found.append(Experiment(match[1] + match[2], match[3], commit))
        return found

    @cached_property
    def labels(self) -> dict[str, list[str]]:
        """Local branches and tags by the commit that they point at."""
        names: dict[str, list[str]] = {}
        form = "--format=%(objectname) %(*objectname) %(refname:short)"
        for line in self._lines("for-each-ref", form, "refs/heads", "refs/tags"):
            target, peeled, name = line.split(" ", 2)
            names.setdefault(peeled or target, []).append(name)
        return names

    @cached_property
    def tips(self) -> list[str]:
        """HEAD, and the tips of branches and tags, also of those of remotes."""
        return self._lines("rev-list", "--no-walk", *self._everything())

    @cached_property
    def commits(self) -> list[str]:
        """The tips, and all older commits that changed results or params.

        Of all sides of a merge, also of one whose results it did not take.
        """
        changed = ("--full-history", *self._everything(), "--", "dvc.lock", "params.yaml")
        return list(dict.fromkeys(self.tips + self._lines("rev-list", *changed)))

    def _everything(self) -> tuple[str, ...]:
        head = ("HEAD",) if self.commit("HEAD") else ()  # not before a branch's first commit
        return (*head, "--branches", "--tags", "--remotes")

    @cached_property
    def url(self) -> str:
        """The address of the remote `origin`, without user and password; empty if none."""
        parts = urlsplit(self.git("remote", "get-url", "origin"))
        if not parts.scheme:  # a path, or user@host:path
            return parts.path
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, host, parts.path, "", ""))
