"""DVC remotes that any machine can reach: what one clone pushes, another has without computing."""

import getpass
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.support import store_view
from tests.support.checkout import STAGES
from tests.support.sandbox import Project, free_port, wait_for

pytestmark = store_view.IN_OUR_PROCESS
Configure = Callable[[Project], None]


@contextmanager
def over_ssh(folder: Path) -> Iterator[Configure]:
    """An SSH server on loopback that lets one key in; the remote is a folder behind it."""
    server = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if not server or os.getuid() != 0:
        pytest.skip("no OpenSSH server that can be started here (Debian: openssh-server; root)")
    for key in ("host", "client"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)]
        subprocess.run(command, check=True)
    Path("/run/sshd").mkdir(exist_ok=True)
    port = free_port()
    options = {
        "Port": port,
        "ListenAddress": "127.0.0.1",
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "client.pub",
        "PidFile": "none",
        "StrictModes": "no",
        "UsePAM": "no",
        "Subsystem": "sftp internal-sftp",
    }
    (folder / "sshd_config").write_text("".join(f"{name} {of}\n" for name, of in options.items()))
    process = subprocess.Popen([server, "-D", "-e", "-f", str(folder / "sshd_config")])

    def configure(project: Project) -> None:
        address = f"ssh://{getpass.getuser()}@127.0.0.1:{port}{folder}/store"
        project.dvc("remote", "add", "--local", "--default", "store", address)
        project.dvc("remote", "modify", "--local", "store", "keyfile", str(folder / "client"))

    try:
        wait_for(lambda: _answers(port))
        yield configure
    finally:
        process.kill()
        process.wait()


@contextmanager
def on_s3(folder: Path) -> Iterator[Configure]:
    """An S3 server on loopback."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (folder / "s3.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_for(lambda: _answers(port))
        requests.put(f"{address}/bucket", timeout=10).raise_for_status()

        def configure(project: Project) -> None:
            project.dvc("remote", "add", "--local", "--default", "store", "s3://bucket/project")
            settings = ("endpointurl", address), ("access_key_id", "a"), ("secret_access_key", "b")
            for name, value in settings:
                project.dvc("remote", "modify", "--local", "store", name, value)

        yield configure
    finally:
        process.kill()
        process.wait()


def _with_files(project: Project, cache: Path) -> None:
    """Give the project a DVC cache of files, where the tests' common one has links."""
    shutil.copytree(project.dvc("config", "cache.dir").strip(), cache)
    project.dvc("config", "--local", "cache.dir", str(cache))


def _answers(port: int) -> bool:
    import socket

    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("storage", [over_ssh, on_s3], ids=["SSH", "S3"])
def test_a_second_clone_computes_nothing(
    reproduced: Project, tmp_path: Path, storage: Callable[[Path], Iterator[Configure]]
) -> None:
    project = reproduced.copy(tmp_path / "project")
    _with_files(project, tmp_path / "cache")
    project.git("init", "--quiet", "--bare", "--initial-branch=main", str(tmp_path / "git"))
    project.git("remote", "add", "origin", str(tmp_path / "git"))
    project.git("push", "--quiet", "origin", "HEAD:main")
    with storage(tmp_path) as configure:
        configure(project)
        project.dvc("push")
        fresh = tmp_path / "fresh"
        project.git("clone", "--quiet", str(tmp_path / "git"), str(fresh))
        other = Project(fresh, project.mirror)
        configure(other)
        other.dvc("pull")
    said = other.dvc("repro", MNIST_MIRROR="file:///nowhere")
    assert said.count("didn't change, skipping") == len(STAGES) - 1
    assert [line for line in said.splitlines() if line.startswith("Running stage")] == [
        "Running stage 'track':"  # once in every clone
    ]
    assert other.git("status", "--porcelain") == ""
    project.command("rebuild")
    other.command("rebuild")
    before, after = (
        [run.content() for run in store_view.runs(one.folder).values()] for one in (project, other)
    )
    assert before == after
