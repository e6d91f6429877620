"""The pipeline against a shared MLflow server: PostgreSQL, basic auth, only environment changed."""

import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
import pytest
import requests

from tests.support import store_view
from tests.support.checkout import outputs
from tests.support.sandbox import Project, free_port, listening

pytestmark = store_view.IN_OUR_PROCESS


@dataclass(frozen=True)
class Database:
    """A PostgreSQL server; its superuser is `mlflow`."""

    port: int
    password: str
    data: Path

    def uri(self, name: str) -> str:
        """Without the password: libpq takes it from PGPASSWORD."""
        return f"postgresql://mlflow@127.0.0.1:{self.port}/{name}"


@dataclass(frozen=True)
class Server:
    """An MLflow server with the administrator `admin` and the user `ada`."""

    uri: str
    process: psutil.Process
    artifacts: Path
    passwords: dict[str, str]


def programs() -> Path:
    """The folder of PostgreSQL's programs, which Debian keeps off the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    initdb = shutil.which("initdb") or (found[-1] if found else None)
    if initdb is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    return Path(initdb).parent


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    """PostgreSQL on loopback, in a folder of its own."""
    bin_folder = programs()
    # It refuses to run as root, and pytest's folders are closed to others.
    as_owner = ("runuser", "-u", "postgres", "--") if os.getuid() == 0 else ()

    def run(program: str, *arguments: object) -> None:
        command = (*as_owner, bin_folder / program, *map(str, arguments))
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL)

    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    database = Database(free_port(), secrets.token_hex(16), folder / "data")
    password_file = folder / "password"
    password_file.write_text(database.password)
    try:
        if as_owner:
            null = subprocess.run((*as_owner, "sh", "-c", ": >/dev/null"), capture_output=True)
            if null.returncode:
                pytest.skip(f"{as_owner[2]} may not write to /dev/null here, as initdb has to")
            shutil.chown(folder, "postgres")
            shutil.chown(password_file, "postgres")
        login = ("--username=mlflow", "--auth=scram-sha-256", f"--pwfile={password_file}")
        run("initdb", "--no-sync", "--no-locale", "--encoding=UTF8", *login, database.data)
        password_file.unlink()
        options = f"-h 127.0.0.1 -p {database.port} -k {folder} -F"
        log = folder / "log"
        run("pg_ctl", "-D", database.data, "-o", options, "-l", log, "-w", "start")
        try:
            yield database
        finally:
            run("pg_ctl", "-D", database.data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def server(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`mlflow server` as docs/server.md starts it."""
    with psycopg.connect(
        database.uri("postgres"), password=database.password, autocommit=True
    ) as connection:
        connection.execute("CREATE DATABASE mlflow")
        connection.execute("CREATE DATABASE auth")
    folder = tmp_path_factory.mktemp("server")
    (folder / "auth.ini").write_text(
        "[mlflow]\n"
        "default_permission = EDIT\n"
        "auth_cache_ttl_seconds = 60\n"
        f"database_uri = {database.uri('auth')}\n"
        "admin_username = admin\n"
    )
    passwords = {name: secrets.token_hex(16) for name in ("admin", "ada")}
    port = free_port()
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            f"mlflow server --app-name basic-auth --host 127.0.0.1 --port {port} --workers 1 "
            "--artifacts-destination artifacts".split(),
            cwd=folder,
            env={name: v for name, v in os.environ.items() if not name.startswith("MLFLOW_")}
            | {
                "PGPASSWORD": database.password,
                "MLFLOW_BACKEND_STORE_URI": database.uri("mlflow"),
                "MLFLOW_AUTH_CONFIG_PATH": "auth.ini",
                "MLFLOW_AUTH_ADMIN_PASSWORD": passwords["admin"],
                "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(16),
                "MLFLOW_DISABLE_TELEMETRY": "true",
            },
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        uri = f"http://127.0.0.1:{port}"
        with stopped(process):
            end = time.monotonic() + 120
            while not answers(f"{uri}/health"):
                assert process.poll() is None and time.monotonic() < end, log_of(folder)
                time.sleep(0.5)
            created = requests.post(
                f"{uri}/api/2.0/mlflow/users/create",
                json={"username": "ada", "password": passwords["ada"]},
                auth=("admin", passwords["admin"]),
                timeout=30,
            )
            assert created.ok, created.text + log_of(folder)
            yield Server(uri, psutil.Process(process.pid), folder / "artifacts", passwords)


@contextmanager
def stopped(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """End a process and its children with the block."""
    try:
        yield
    finally:
        children = []
        if process.poll() is None:
            children = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        process.wait(30)
        for child in psutil.wait_procs(children, timeout=10)[1]:
            child.kill()


def answers(address: str) -> bool:
    try:
        return requests.get(address, timeout=5).ok
    except requests.ConnectionError:
        return False


def log_of(folder: Path) -> str:
    return (folder / "log").read_text()


@pytest.fixture
def member(copied: Project, server: Server) -> Project:
    """A project whose user has set three variables, and has a store of their own from before."""
    copied.environment |= {
        "MLFLOW_TRACKING_URI": server.uri,
        "MLFLOW_TRACKING_USERNAME": "ada",
        "MLFLOW_TRACKING_PASSWORD": server.passwords["ada"],
    }
    return copied


def holding(folder: Path, secret: str) -> list[Path]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if secret.encode() in path.read_bytes()]


def test_the_same_pipeline_with_only_the_environment_changed(
    member: Project, server: Server, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("USERNAME", "PASSWORD"):
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", member.environment[f"MLFLOW_TRACKING_{name}"])
    before = (member.folder / "mlflow.db").read_bytes()

    # 7: which no other test has put into the cache that all share, so that it is trained here.
    member.dvc("exp", "run", "--temp", "--name", "seven", "-S", "latent_dim=7")
    (seven,) = store_view.runs_at(server.uri).values()
    assert seven.status == "FINISHED"
    assert seven.name == "latent_dim=7 · seven"
    assert seven.tags["env.threads"] == "1"

    said = member.command("rebuild")  # what was there before the server
    assert "2 experiments, each with its run" in said
    after = store_view.runs_at(server.uri)
    assert {run.params["latent_dim"] for run in after.values()} == {"2", "7"}
    assert seven.id in {run.id for run in after.values()}
    for run in after.values():
        assert run.status == "FINISHED"
        assert set(run.models) == {"vae", "decoder"}
        assert [step for step, _, _ in run.points["greyscale/train_elbo"]] == [1, 2]
        assert set(outputs("plots", "report")) <= set(run.artifacts)
    assert member.command("rebuild") == "2 experiments, each with its run\n"
    assert store_view.runs_at(server.uri) == after

    assert f"{server.uri}/#/experiments/" in member.command("run-of", "seven")
    assert "@champion is version 1" in member.command("champion", "--metric", "greyscale/test_elbo")
    assert (member.folder / "mlflow.db").read_bytes() == before

    for secret in (*server.passwords.values(), database.password):
        assert secret not in str(after)
        assert not holding(member.folder, secret)
        assert not holding(server.artifacts.parent, secret)
        assert not holding(database.data, secret)


def test_a_wrong_password_is_one_line(member: Project) -> None:
    member.environment["MLFLOW_TRACKING_PASSWORD"] = "guessed"  # noqa: S105
    output = member.run("python", "-m", "stages", "track", fails=True)
    assert len(output.splitlines()) == 1
    assert output.startswith("error: MLflow store http://127.0.0.1:")
    assert "not authenticated" in output
    assert "guessed" not in output


def test_everything_listens_on_loopback_only(server: Server, database: Database) -> None:
    assert listening(server.process) == {"127.0.0.1"}
    pid = int((database.data / "postmaster.pid").read_text().split()[0])
    assert listening(psutil.Process(pid)) == {"127.0.0.1"}
