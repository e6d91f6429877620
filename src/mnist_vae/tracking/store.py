"""The MLflow store: an SQLite file at the project's root, or what MLFLOW_TRACKING_URI names."""

import logging
import os
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from mnist_vae.errors import PipelineError
from mnist_vae.tracking.faults import StoreError, errors, hide_password

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "mnist-vae"
DATABASE = "mlflow.db"
ARTIFACTS = "mlflow-artifacts"
KIND = {"mlflow.experimentKind": "custom_model_development"}  # the UI opens it at its runs
PORT = 5000  # MLflow's own choice for its UI
MOVABLE = ("3.17.",)  # versions of MLflow whose tables `_relocate` was tried on
DATABASES = ("postgresql", "mysql", "mssql", "sqlite")  # of MLflow's kinds of address
SETTINGS = {  # unless the user has set them
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # not 7, which takes minutes to fail
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "GIT_PYTHON_REFRESH": "quiet",
}


@dataclass(frozen=True)
class Store:
    """An open store and the one MLflow experiment in it that holds this project's runs."""

    uri: str
    client: "MlflowClient"
    experiment_id: str
    root: Path

    @property
    def embedded(self) -> bool:
        """Is it the store of this project's folder? Any other may hold the runs of others."""
        return self.uri == f"sqlite:///{self.root / DATABASE}"

    @contextmanager
    def lock(self, name: str, timeout: float = 60) -> Iterator[None]:
        """One process at a time on this machine; StoreError if another holds it too long."""
        with file_lock(self.root, name, timeout):
            yield

    def page(self, port: int = PORT) -> str:
        """Where the UI shows the runs: on the server, or where `vae ui` opens one on this port."""
        served = self.uri.startswith("http")
        server = hide_password(self.uri).rstrip("/") if served else f"http://127.0.0.1:{port}"
        return f"{server}/#/experiments/{self.experiment_id}/runs"

    def address(self, run_id: str) -> str:
        """Where the UI shows a run."""
        return f"{self.page()}/{run_id}"


def open_store(root: Path) -> Store:
    """Open the store, made with its experiment if need be.

    Raises StoreError, one line, if it cannot be reached, opened or written, PipelineError if its
    address is none.
    """
    uri = _uri(root)
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    os.environ["MLFLOW_ENABLE_ASYNC_LOGGING"] = "false"  # we must know what has been logged
    if database := _file(uri):
        _check_database(database)
    elif uri.startswith("http"):
        _check_reachable(uri)
    import mlflow  # takes seconds, on a busy machine a minute: not inside the lock

    # Several at once on a fresh database crash. On a made one, nobody waits for a process that
    # opens it at a low priority.
    alone = nullcontext() if database and _is_made(database) else file_lock(root, "store")
    with errors(uri), alone:
        for logger in ("mlflow", "alembic"):  # a fault is told once, by `errors`
            logging.getLogger(logger).setLevel(logging.CRITICAL)
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        client = mlflow.MlflowClient(uri, uri)
        return Store(uri, client, _experiment(client, uri, root), root)


@contextmanager
def file_lock(root: Path, name: str, timeout: float = 60) -> Iterator[None]:
    """A lock among all processes of this project on this machine.

    Raises StoreError if another process holds it for longer than `timeout` seconds.
    """
    if not (root / ".dvc").is_dir():
        raise PipelineError(f"{root} is no DVC project (any more)")
    folder = root / ".dvc/tmp/mlflow"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / f"{name}.lock", timeout=timeout):
            yield
    except Timeout:
        raise StoreError(
            f"another process has been using the MLflow store for {timeout:.0f} s"
        ) from None


def _uri(root: Path) -> str:
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{DATABASE}"
    if uri.startswith("sqlite:///"):  # a relative path would vanish with a temporary workspace
        uri = f"sqlite:///{root / uri.removeprefix('sqlite:///')}"
        if set("%?") & set(uri):
            raise StoreError(
                f"MLflow cannot open a database whose path contains % or ?: {uri}; "
                "rename the folder or set MLFLOW_TRACKING_URI"
            )
    return uri


def _check_database(path: Path) -> None:
    # MLflow itself would try for 100 s.
    try:
        with closing(sqlite3.connect(path, timeout=10)) as database:
            database.execute("BEGIN IMMEDIATE")
            database.rollback()
    except sqlite3.Error as error:
        raise StoreError(f"MLflow store {path}: {error}") from None


def _file(uri: str) -> Path | None:
    """The file of an SQLite store; None of any other."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def _is_made(path: Path) -> bool:
    """Is it a database with our experiment in it?"""
    query = "SELECT 1 FROM experiments WHERE name = ?"
    try:
        with closing(sqlite3.connect(path, timeout=10)) as database:
            return database.execute(query, (_name(),)).fetchone() is not None
    except sqlite3.Error:  # no such table yet
        return False


def _name() -> str:
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT


def _check_reachable(uri: str) -> None:
    try:
        shown = hide_password(uri)  # urllib takes no user in an address
    except ValueError as error:
        raise StoreError(f"MLFLOW_TRACKING_URI is no address: {error}") from None
    try:
        urllib.request.urlopen(f"{shown.rstrip('/')}/health", timeout=5).close()  # noqa: S310
    except urllib.error.HTTPError:
        pass  # it answers
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        if "certificate" not in str(reason).lower():  # MLflow has settings for those
            said = str(reason).strip() or type(reason).__name__
            raise StoreError(f"MLFLOW_TRACKING_URI {shown} does not answer: {said}") from None


def _experiment(client: "MlflowClient", uri: str, root: Path) -> str:
    name, database, location = _name(), _file(uri), None  # a server decides
    if database:
        location = (database.parent / ARTIFACTS).as_uri()
    elif uri.startswith(DATABASES):  # or else MLflow takes the current folder
        location = (root / ARTIFACTS).as_uri()
    found = client.get_experiment_by_name(name)
    if found is None:
        return str(client.create_experiment(name, location, KIND))
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    old = found.artifact_location
    beside = old.startswith("file:") and old.endswith(f"/{ARTIFACTS}")  # any other was chosen
    if database and location and old != location and beside:
        _relocate(database, old, location)
    return str(found.experiment_id)


def _relocate(database: Path, old: str, new: str) -> None:
    """The project's folder has moved: MLflow keeps absolute paths and has no way to change them.

    Raises StoreError if this is not a version of MLflow whose tables we know.
    """
    import mlflow

    if not mlflow.__version__.startswith(MOVABLE):
        raise StoreError(
            f"the project has moved, and the paths in {database.name} can be moved with it only "
            f"with MLflow {'x, '.join(MOVABLE)}x, not {mlflow.__version__}: delete {database.name} "
            f"and {ARTIFACTS}, then `make rebuild`"
        )
    columns = {
        "experiments": "artifact_location",
        "runs": "artifact_uri",
        "logged_models": "artifact_location",
        "model_versions": "storage_location",
    }
    with closing(sqlite3.connect(database, timeout=20)) as connection, connection:
        for table, column in columns.items():
            connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) "  # noqa: S608
                f"WHERE {column} = ? OR {column} LIKE ? ESCAPE '!'",
                (
                    new,
                    len(old) + 1,
                    old,
                    old.replace("!", "!!").replace("_", "!_").replace("%", "!%") + "/%",
                ),
            )
