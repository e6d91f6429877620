"""`vae ui`: MLflow's page on loopback, its addresses, and an end that leaves nothing behind."""

import contextlib
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import requests

from tests.support import store_view
from tests.support.sandbox import Project, free_port, listening, wait_for

pytestmark = store_view.IN_OUR_PROCESS


@contextlib.contextmanager
def shown(
    project: Project, folder: str, *options: str, **environment: str
) -> Iterator[tuple["subprocess.Popen[str]", list[str]]]:
    """`vae ui` in a folder of the project, and what it has said when it serves."""
    source = {"PYTHONPATH": str(project.folder / "src"), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        ["python", "-m", "mnist_vae", "ui", *options],
        cwd=project.folder / folder,
        env=project.environment | source | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            lines: list[str] = []
            assert process.stdout
            for line in process.stdout:
                lines.append(line.rstrip("\n"))
                if "Ctrl-C" in line:
                    break
            assert process.poll() is None, lines
            yield process, lines
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()


def addresses(lines: list[str]) -> dict[str, str]:
    return dict(line.split(maxsplit=1) for line in lines if line.startswith(("runs", "charts")))


def test_it_serves_the_runs_until_it_is_interrupted(reproduced: Project, tmp_path: Path) -> None:
    port, opened = free_port(), tmp_path / "opened"
    project = reproduced.copy(tmp_path / "a project, größer")
    browser = tmp_path / "browser"
    browser.write_text(f"#!/bin/sh\necho \"$1\" >'{opened}'\n")
    browser.chmod(0o700)
    seen = {"DISPLAY": ":0", "BROWSER": f"{browser} %s"}
    with shown(project, "docs", "--port", str(port), **seen) as (process, lines):
        page = f"http://127.0.0.1:{port}/#/experiments/1/runs"
        assert addresses(lines)["runs"] == page
        assert addresses(lines)["charts"].startswith(f"{page}?compareRunsMode=CHART")
        wait_for(opened.exists)
        wait_for(lambda: opened.read_text() == f"{page}\n")
        server = psutil.Process(process.pid)
        children = server.children(recursive=True)
        assert listening(server) == {"127.0.0.1"}
        found = requests.post(
            f"http://127.0.0.1:{port}/api/2.0/mlflow/runs/search",
            json={"experiment_ids": ["1"]},
            timeout=60,
        ).json()["runs"]
        assert [run["info"]["run_id"] for run in found] == [
            run.id for run in store_view.runs(project.folder).values()
        ]

        # Another one says that the port is taken, or takes one that is free.
        said = project.command("ui", "--no-open", "--port", str(port), fails=True)
        taken = f"error: port {port} is in use or not allowed"
        assert said == f"{taken}; leave --port out to take a free one\n"
        # Of a server it prints the addresses.
        said = project.command("ui", MLFLOW_TRACKING_URI=f"http://ada:secret@127.0.0.1:{port}")
        assert said.startswith(f"MLflow server http://127.0.0.1:{port} (MLFLOW_TRACKING_URI)\n")
        assert addresses(said.splitlines())["runs"] == page

        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert process.stdout and "Traceback" not in process.stdout.read()
        psutil.wait_procs(children, timeout=30)
        assert not [child for child in children if child.is_running()]
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_without_a_port_it_takes_one_that_is_free(copied: Project) -> None:
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # taken already
            stack.enter_context(socket.create_server(("127.0.0.1", 5000)))
        process, lines = stack.enter_context(shown(copied, ".", DISPLAY="", WAYLAND_DISPLAY=""))
        assert lines[0] == "port 5000 is in use; taking another"
        address = addresses(lines)["runs"]
        assert requests.get(address, timeout=60).ok
        assert ":5000/" not in address
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
