"""Part `pipeline`: what DVC and MLflow cost beside the training, and how it grows."""

import statistics
import sys
import time
from typing import Any

from benchmarks import process, project
from benchmarks.report import Table, target
from tests.support.planted import plant
from tests.support.sandbox import Project

COMMANDS = {
    "dvc repro": ["dvc", "repro"],
    "dvc status": ["dvc", "status"],
    "import dvc.cli.parser": [sys.executable, "-c", "import dvc.cli.parser"],
    "dvc exp show": ["dvc", "exp", "show", "--csv"],
}
REBUILT = 1000  # experiments up to which runs are made: each takes a second
TRACK = [sys.executable, "-m", "stages", "track"]
REBUILD = [sys.executable, "-m", "mnist_vae", "rebuild"]


def measure(quick: bool) -> dict[str, Any]:
    """From nothing with the default sizes; everything else with a tiny network."""
    with project.make(tiny=quick, epochs=2) as sandbox:
        raw: dict[str, Any] = {"nothing": from_nothing(sandbox)}
        raw["download"] = downloads(sandbox)
    with project.make(tiny=True) as sandbox:
        sandbox.dvc("repro")
        sandbox.commit("results")
        raw["growth"] = growth(sandbox, (3,) if quick else (10, 100, 1000), 1 if quick else 5)
    with project.make(tiny=True) as sandbox:
        sandbox.dvc("repro")
        sandbox.commit("results")
        raw["experiments"] = experiments(sandbox, 1 if quick else 4)
    return raw


def timed(sandbox: Project, command: list[str]) -> float:
    """Seconds of a command in the project."""
    return process.run(command, sandbox.folder, sandbox.environment).seconds


def from_nothing(sandbox: Project) -> dict[str, Any]:
    """`dvc repro` with an empty cache: in all, the training loop, and each stage."""
    done = process.run(["dvc", "repro"], sandbox.folder, sandbox.environment)
    start, stages = process.stages(done)
    loop = process.between(done.lines, "training ", "epoch ")
    print(f"  dvc repro: {done.seconds:.1f} s, training loop {loop:.1f} s", file=sys.stderr)
    return {"seconds": done.seconds, "loop": loop, "start": start, "stages": stages}


def downloads(sandbox: Project) -> dict[str, float | None]:
    """The stage `download` from a local folder and from the network."""
    taken: dict[str, float | None] = {}
    for name, mirror in (("local folder", str(sandbox.mirror)), ("network", "")):
        sandbox.run("rm", "-rf", "data/raw")
        environment = sandbox.environment | {"MNIST_MIRROR": mirror}
        try:
            command = [sys.executable, "-m", "stages", "download"]
            taken[name] = process.run(command, sandbox.folder, environment).seconds
        except RuntimeError:  # no source to be had from here
            taken[name] = None
    return taken


def growth(sandbox: Project, counts: tuple[int, ...], repeats: int) -> list[dict[str, float]]:
    """No-op commands and MLflow with more and more experiments."""
    rows = []
    before = 0
    for count in (0, *counts):
        plant(sandbox, before, count)
        row: dict[str, float] = {"experiments": count}
        laps: dict[str, list[float]] = {name: [] for name in COMMANDS}
        for _ in range(repeats):  # in turn
            for name, command in COMMANDS.items():
                laps[name].append(timed(sandbox, command))
        row |= {name: statistics.median(taken) for name, taken in laps.items()}
        ratios = zip(laps["dvc repro"], laps["dvc status"], strict=True)
        row["repro / status"] = statistics.median(repro / status for repro, status in ratios)
        if count <= REBUILT:
            row["added"] = count - before
            row["rebuild"] = timed(sandbox, REBUILD)
            row["rebuild again"] = timed(sandbox, REBUILD)
        row["track"] = timed(sandbox, TRACK)
        rows.append(row)
        before = count
        shown = ", ".join(f"{name} {value:.2f}" for name, value in row.items())
        print(f"  {shown}", file=sys.stderr, flush=True)
    return rows


def experiments(sandbox: Project, count: int) -> dict[str, float]:
    """Seconds per further experiment that retrains a tiny network, by three ways."""
    begun = time.perf_counter()
    for number in range(min(count, 2)):
        sandbox.dvc("exp", "run", "--temp", "-S", f"seed={number + 1}")
    taken = {"exp run --temp": (time.perf_counter() - begun) / min(count, 2)}
    for workers in (1, 2):
        seeds = ",".join(str(100 * workers + number) for number in range(count))
        sandbox.dvc("exp", "run", "--queue", "-S", f"seed={seeds}")
        goal = _refs(sandbox) + count
        begun = time.perf_counter()
        sandbox.dvc("queue", "start", "-j", str(workers))
        while _refs(sandbox) < goal:
            if time.perf_counter() - begun > 900:
                raise RuntimeError(f"the queue is stuck:\n{sandbox.dvc('queue', 'status')}")
            time.sleep(0.2)
        taken[f"queue, {workers} at a time"] = (time.perf_counter() - begun) / count
        _until_idle(sandbox)
    return taken


def _until_idle(sandbox: Project) -> None:
    """Wait for DVC's workers, which end by themselves some seconds after the last task."""
    for _ in range(60):
        if "0 active, 0 idle" in sandbox.dvc("queue", "status"):
            return
        time.sleep(1)
    raise RuntimeError("DVC's queue workers do not end")


def _refs(sandbox: Project) -> int:
    """How many experiments there are."""
    refs = sandbox.git("for-each-ref", "--format=%(refname)", "refs/exps").split()
    return sum(len(ref.split("/")[2]) == 2 for ref in refs)


def tables(raw: dict[str, Any]) -> list[Table]:
    """From nothing, no-op, growth, per experiment."""
    nothing = raw["nothing"]
    rest = nothing["seconds"] - nothing["loop"]
    rows = [["all but the training loop", f"{rest:.1f}", target(rest, 45, " s")]]
    rows.append(["`dvc` until the first stage", f"{nothing['start']:.1f}", ""])
    for name, seconds in nothing["stages"].items():
        loop = nothing["loop"] if name == "train" else 0
        rows.append([f"{name}{', less the loop' if loop else ''}", f"{seconds - loop:.1f}", ""])
    sources = ", ".join(
        f"{name}: {'not to be had' if seconds is None else f'{seconds:.1f} s'}"
        for name, seconds in raw["download"].items()
    )
    grown = []
    for row in raw["growth"]:
        new = row.get("added", 0)
        per_run = f"{(row['rebuild'] - row['rebuild again']) / new:.2f}" if new else "-"
        again = f"{row['rebuild again']:.1f}" if "rebuild again" in row else "-"
        grown.append(
            [
                f"{row['experiments']:.0f}",
                f"{row['repro / status']:.2f}",
                target(row["repro / status"], 1.3),
                *(f"{row[name]:.2f}" for name in COMMANDS),
                f"{row['track']:.1f}",
                again,
                per_run,
            ]
        )
    return [
        Table(
            "`dvc repro` from nothing",
            "Default settings, two epochs, empty caches, data from a local folder. "
            f"The stage `download` alone: {sources}.",
            ["", "s", "target"],
            rows,
        ),
        Table(
            "With more and more experiments",
            "Seconds in a repository with so many experiments (tiny network). They are HEAD's "
            "results under another seed, written by `git fast-import` as commits under "
            "`refs/exps` with params.yaml and dvc.lock of that seed, so that DVC and the rebuild "
            "take them for real ones. *rebuild*: with nothing to do; *per new run*: what the first "
            "rebuild takes beyond that, for each run that it makes "
            f"(tried up to {REBUILT}).",
            [
                "experiments",
                "no-op repro / status",
                "target",
                *(f"`{name}`" for name in COMMANDS),
                "`track`",
                "rebuild",
                "per new run",
            ],
            grown,
        ),
        Table(
            "One further experiment",
            "Tiny network, so that hardly any of it is training: processes that start and import.",
            ["", "s per experiment"],
            [[name, f"{seconds:.1f}"] for name, seconds in raw["experiments"].items()],
        ),
    ]
