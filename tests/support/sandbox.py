"""A temporary project for tests: the checkout's sources, real DVC and Git, tiny settings."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from ruamel.yaml import YAML

from tests.support import settings
from tests.support.checkout import ROOT


class Project:
    """A Git and DVC repository in a folder, and commands in it."""

    def __init__(self, folder: Path, mirror: Path) -> None:
        self.folder = folder
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("DVC_", "GIT_", "MLFLOW_", "MNIST_VAE_", "PYTEST_"))
            and name != "PYTHONDONTWRITEBYTECODE"  # compiling anew takes a process a second
        } | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": "src",
            "MNIST_MIRROR": str(mirror),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "DVC_NO_ANALYTICS": "1",
        }
        self.mirror = mirror

    def start(self, *command: str, **environment: str) -> "subprocess.Popen[str]":
        """Start a command; its output, both streams, can be read from stdout."""
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *command: str, fails: bool = False, **environment: str) -> str:
        """Run a command and return its output, both streams."""
        with self.start(*command, **environment) as process:
            output = process.communicate()[0]
        assert (process.returncode != 0) == fails, f"{command}\n{output}"
        return output

    def dvc(self, *arguments: str, **environment: str) -> str:
        return self.run("dvc", *arguments, **environment)

    def git(self, *arguments: str) -> str:
        return self.run("git", *arguments).strip()

    def command(self, *arguments: str, fails: bool = False, **environment: str) -> str:
        """`python -m mnist_vae ...`."""
        return self.run("python", "-m", "mnist_vae", *arguments, fails=fails, **environment)

    def set(self, **params: object) -> None:
        """Change values in params.yaml."""
        path = self.folder / "params.yaml"
        yaml = YAML()  # keeps the comments
        values = yaml.load(path)
        values.update(params)
        yaml.dump(values, path)

    def commit(self, message: str) -> str:
        """Commit everything and return the commit."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        return self.git("rev-parse", "HEAD")

    def copy(self, folder: Path) -> "Project":
        """The same project in another folder; both share the DVC cache."""
        temporary = str(self.folder / ".dvc/tmp")
        shutil.copytree(
            self.folder,
            folder,
            symlinks=True,
            ignore=lambda inside, names: names if inside == temporary else [],
        )
        return Project(folder, self.mirror)


def wait_for(done: Callable[[], object], seconds: float = 180) -> None:
    """Until `done` says something true; fails after `seconds`."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.5)


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def listening(process: psutil.Process) -> set[str]:
    """The addresses that a process and its children accept connections on."""
    return {
        connection.laddr.ip
        for one in (process, *process.children(recursive=True))
        for connection in one.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }


def make_project(folder: Path, mirror: Path) -> Project:
    """The checkout's sources, committed, with the tests' parameters: the tiny ones."""
    folder.mkdir(parents=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    outputs = ("data", "metrics", "models", "plots", "report", "results")
    for name in listed:
        source, target = ROOT / name, folder / name
        kept = name.partition("/")[0] not in outputs or name.startswith("data/own/")
        if source.is_file() and name != "dvc.lock" and kept:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    project = Project(folder, mirror)
    project.git("init", "--quiet", "--initial-branch=main")
    project.git("config", "user.name", "Ada")
    project.git("config", "user.email", "ada@example.org")
    shutil.copyfile(settings.FILE, folder / "params.yaml")
    project.set(**settings.TINY)
    project.commit("start")
    return project
