"""`vae ui`: MLflow's page of this project's runs, and the addresses that lead to what one compares.

MLflow's own start page is about other things than training.
"""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mnist_vae.errors import PipelineError
from mnist_vae.experiments.repository import root
from mnist_vae.tracking import about, view
from mnist_vae.tracking.faults import errors, hide_password
from mnist_vae.tracking.store import PORT, Store, open_store

HOST = "127.0.0.1"
LOG = Path(".dvc/tmp/mlflow/ui.log")
STARTS = 120  # seconds that MLflow may take, on a busy machine
# The parameters that MLflow 3.17's page reads: charts of the first ten runs, which are the newest.
CHARTS = f"?compareRunsMode=CHART&viewStateShareKey={view.KEY}"


def show(port: int | None, browse: bool) -> None:
    """Serve the store's page until Ctrl-C; of a server, print its addresses and return.

    port: None for MLflow's own, or another that is free. browse: open the page in a browser,
    where there is a display.

    Raises PipelineError if the port is in use, or MLflow's server does not start.
    """
    store = open_store(root())
    with errors(store.uri):
        about.describe(store)
    if store.uri.startswith("http"):
        print(f"MLflow server {hide_password(store.uri)} (MLFLOW_TRACKING_URI)")
        _tell(store.page(), browse)
        return
    chosen = _port(port)
    print("starting MLflow's server, which takes some seconds", flush=True)
    with _stop_is_interrupt(), suppress(KeyboardInterrupt), _served(store, chosen) as server:
        _tell(store.page(chosen), browse)
        print("Ctrl-C ends it", flush=True)
        server.wait()
        raise PipelineError(f"MLflow's server has ended: {_last_line(store.root)}")


def _tell(page: str, browse: bool) -> None:
    print(f"runs    {page}\ncharts  {page}{CHARTS}", flush=True)
    if browse and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        webbrowser.open(page)


def _port(wanted: int | None) -> int:
    """The port to listen on; 5000 or the next free one, if none is wanted."""
    for port in [wanted] if wanted is not None else range(PORT, PORT + 100):
        with suppress(OSError, OverflowError), socket.create_server((HOST, port)) as free:
            return int(free.getsockname()[1])
        if wanted is None and port == PORT:
            print(f"port {PORT} is in use; taking another")
    other = "leave --port out to take a free one"
    raise PipelineError(f"port {wanted or PORT} is in use or not allowed; {other}")


@contextmanager
def _served(store: Store, port: int) -> "Iterator[subprocess.Popen[bytes]]":
    """MLflow's server, answering; it and its children end with the block."""
    log = store.root / LOG
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "mlflow", "ui", "--host", HOST, "--port", str(port)]
    env = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    with log.open("wb") as output:
        server = subprocess.Popen(
            [*command, "--workers", "1"],
            cwd=store.root,
            env=env | {"MLFLOW_BACKEND_STORE_URI": store.uri},  # it may hold a password
            stdout=output,
            stderr=output,
            process_group=0,  # so that Ctrl-C reaches us alone, who end all of them
        )
    try:
        _wait(server, port, store.root)
        yield server
    finally:
        _end(server)


def _wait(server: "subprocess.Popen[bytes]", port: int, folder: Path) -> None:
    end = time.monotonic() + STARTS
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while server.poll() is None and time.monotonic() < end:
        with suppress(OSError):  # not yet
            direct.open(f"http://{HOST}:{port}/health", timeout=5).close()
            return
        time.sleep(0.2)
    raise PipelineError(f"MLflow's server does not start: {_last_line(folder)}; see {LOG}")


def _end(server: "subprocess.Popen[bytes]") -> None:
    """Ask the server and its children to end, and make them after some seconds."""
    for asked in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(server.pid, asked)
        with suppress(subprocess.TimeoutExpired):
            server.wait(10)


@contextmanager
def _stop_is_interrupt() -> Iterator[None]:
    """SIGTERM, or a terminal that is closed, ends us as Ctrl-C does: no server stays behind."""
    asked = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(one, signal.default_int_handler) for one in asked]
    try:
        yield
    finally:
        for one, handler in zip(asked, before, strict=True):
            signal.signal(one, handler)


def _last_line(folder: Path) -> str:
    lines = (folder / LOG).read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
