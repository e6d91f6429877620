"""Part `scaling`: what a task costs beyond its experiment, and what thousands of them do."""

import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from benchmarks import process, project
from benchmarks.pipeline import timed
from benchmarks.report import Table, target
from tests.support import remotes
from tests.support.planted import plant
from tests.support.sandbox import Project

READ = """
import sys
from pathlib import Path
from mnist_vae.experiments import origins
from mnist_vae.experiments.repository import Repository
with Repository(Path()) as repository:
    assert len(list(origins.discover(repository))) > int(sys.argv[1])
"""
SHOWN = 1000  # experiments up to which the slow commands are tried
WORK = [sys.executable, "-m", "mnist_vae", "sweep", "work"]


def measure(quick: bool) -> dict[str, Any]:
    """Overhead of a task, pushes, growth; with a tiny network."""
    counts = (3,) if quick else (100, 1000, 10_000)
    with project.make(tiny=True) as sandbox:
        sandbox.dvc("repro")
        sandbox.commit("results")
        folder = sandbox.folder.parent
        remotes.with_remotes(sandbox, folder)
        raw = {"task": overhead(sandbox, 1 if quick else 3), "pushes": pushes(sandbox)}
        raw["growth"] = [grow(sandbox, count, folder / f"clone-{count}") for count in counts]
    return raw


def overhead(sandbox: Project, turns: int) -> dict[str, list[float]]:
    """`vae sweep work` in a warm clone and `dvc exp run`, each without MLflow, in turn."""
    seeds = ",".join(str(100 + turn) for turn in range(turns + 1))
    sandbox.command("sweep", "new", "lap", "-S", f"seed={seeds}")
    sandbox.command("sweep", "work", "lap", str(turns))  # makes the clone
    off = sandbox.environment | {"MNIST_VAE_LIVE": "off", "MNIST_VAE_TRACK": "off"}
    laps: dict[str, list[float]] = {"vae sweep work": [], "dvc exp run": []}
    for turn in range(turns):
        done = process.run([*WORK, "lap", str(turn)], sandbox.folder, sandbox.environment)
        laps["vae sweep work"].append(done.seconds)
        alone = ["dvc", "exp", "run", "-S", f"seed={200 + turn}"]
        laps["dvc exp run"].append(process.run(alone, sandbox.folder, off).seconds)
        print(f"  {laps}", file=sys.stderr, flush=True)
    return laps


def pushes(sandbox: Project, at_once: int = 8, each: int = 4) -> float:
    """Refs that one Git remote in a folder takes in a second, from eight clones at once."""
    clones = [sandbox.folder.parent / f"pushes-{number}" for number in range(at_once)]
    for clone in clones:
        sandbox.git("clone", "--quiet", "--bare", str(sandbox.folder), str(clone))

    def push(number: int) -> None:
        inside = Project(clones[number], sandbox.mirror)
        for turn in range(each):
            ref = f"refs/exps/00/{0:038x}/push-{number}-{turn}"
            inside.git("push", "--quiet", str(sandbox.folder.parent / "git"), f"main:{ref}")

    began = time.perf_counter()
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(push, range(at_once)))
    return at_once * each / (time.perf_counter() - began)


def grow(sandbox: Project, count: int, clone: Path) -> dict[str, float | None]:
    """Seconds of what people and tasks do where the remote has so many experiments."""
    plant(sandbox, 0, count)
    sandbox.git("push", "--quiet", "origin", "refs/exps/*:refs/exps/*")
    sandbox.git("clone", "--quiet", str(sandbox.folder.parent / "git"), str(clone))
    other = Project(clone, sandbox.mirror)
    other.dvc("remote", "add", "--local", "--default", "store", str(clone.parent / "store"))
    fetch = ["git", "fetch", "--quiet", "origin", "refs/exps/*:refs/exps/*"]
    read = [sys.executable, "-c", READ, str(count)]
    row: dict[str, float | None] = {"experiments": count}
    pull = ["dvc", "exp", "pull", "--quiet", "--no-cache", "--all-commits", "origin"]
    row["dvc exp pull"] = timed(other, pull) if count <= SHOWN else None
    row["git fetch"] = timed(Project(_bare(other), sandbox.mirror), fetch)
    other.git(*fetch[1:])
    row["read first"] = timed(other, read)
    row["read again"] = statistics.median(timed(other, read) for _ in range(3))
    row["sweep status"] = timed(
        sandbox, [sys.executable, "-m", "mnist_vae", "sweep", "status", "lap"]
    )
    show = ["dvc", "exp", "show", "--csv", "--all-commits"]
    row["dvc exp show"] = timed(other, show) if count <= SHOWN else None
    row["MLflow page"] = page(clone / "many.db", count) if count <= SHOWN else None
    print(f"  {row}", file=sys.stderr, flush=True)
    return row


def _bare(other: Project) -> Path:
    """A clone without experiments, to fetch them into."""
    folder = other.folder.with_name(f"{other.folder.name}-bare")
    other.git("clone", "--quiet", str(other.folder.parent / "git"), str(folder))
    return folder


def page(database: Path, count: int) -> float:
    """Seconds that MLflow needs for a page of 100 runs, sorted by a metric, of so many."""
    client = MlflowClient(f"sqlite:///{database}")
    experiment = client.create_experiment("many")
    for number in range(count):
        run = client.create_run(experiment, run_name=f"seed={number}").info.run_id
        metrics = [Metric(f"greyscale/{n}", number % 97 + n, 0, 0) for n in range(8)]
        settings = [Param(f"parameter_{n}", str(n)) for n in range(46)]
        client.log_batch(run, metrics, settings, [RunTag("dvc.key", str(number))])
    laps: list[float] = []
    for _ in range(3):
        began = time.perf_counter()
        found = client.search_runs(
            [experiment], order_by=["metrics.`greyscale/0` DESC"], max_results=min(count, 100)
        )
        laps.append(time.perf_counter() - began)
        if len(found) != min(count, 100):
            raise RuntimeError(f"{len(found)} runs on the page")
    return statistics.median(laps)


def tables(raw: dict[str, Any]) -> list[Table]:
    """A task's overhead, pushes, growth."""
    task = raw["task"]
    beyond = statistics.median(
        work - alone
        for work, alone in zip(task["vae sweep work"], task["dvc exp run"], strict=True)
    )
    rows = [[f"`{name}`", f"{statistics.median(laps):.1f}", ""] for name, laps in task.items()]
    rows.append(["beyond the experiment", f"{beyond:.1f}", target(beyond, 8, " s")])
    names = [name for name in raw["growth"][0] if name != "experiments"]
    grown = [
        [f"{row['experiments']:,}", *("-" if row[n] is None else f"{row[n]:.2f}" for n in names)]
        for row in raw["growth"]
    ]
    return [
        Table(
            "A task of a sweep",
            "Tiny network, a warm clone, remotes in local folders, no MLflow in either: medians. "
            f"One Git remote took {raw['pushes']:.0f} refs a second, from eight clones at once.",
            ["", "s", "target"],
            rows,
        ),
        Table(
            "A sweep of thousands",
            "Seconds with so many experiments, planted as above, all of one commit. *git fetch*, "
            "*dvc exp pull*: all of them, without outputs; pull and show were tried up to "
            f"{SHOWN:,}; "
            "*read*: what `track` and `rebuild` read of all commits, the first time and later; "
            "*MLflow page*: 100 runs by a metric, out of so many in SQLite.",
            ["experiments", *(f"`{name}`" for name in names)],
            grown,
        ),
    ]
