"""Part `experiment`: a further experiment against an older commit, and against imports alone."""

import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ruamel.yaml import YAML

from benchmarks import process, project
from benchmarks.report import Table, target
from mnist_vae.errors import PipelineError
from tests.support.checkout import ROOT, outputs
from tests.support.sandbox import Project

BEFORE = "5c71c6d"  # the last commit before experiments were made cheaper
SETTINGS: dict[str, object] = {"hidden_sizes": [16, 16], "epochs": 1}
OURS, IMPORTS = "ours", "imports alone"
LISTED = """
import atexit, json, runpy, sys
_, name, file = sys.argv
atexit.register(lambda: json.dump(list(sys.modules), open(file, "w")))
sys.argv = ["stages", name]
runpy.run_module("stages", run_name="__main__")
"""
STAGE = """
import contextlib, importlib, json, pathlib, re, sys
_, listed, *outputs = sys.argv
for name in json.loads(pathlib.Path(listed).read_text()):
    with contextlib.suppress(Exception):
        importlib.import_module(name)
seed = re.search(r"(?m)^seed: .*", pathlib.Path("params.yaml").read_text())[0]
for output in map(pathlib.Path, outputs):
    output.parent.mkdir(exist_ok=True)
    output.write_text(json.dumps({"made": seed}))
"""
Lap = dict[str, float]


def measure(quick: bool) -> dict[str, Any]:
    """Seconds of `dvc exp run`, in all and by stage, in turn; one of each does not count.

    Raises PipelineError if the older commit is not in this clone.
    """
    laps: dict[str, list[Lap]] = {OURS: [], BEFORE: [], IMPORTS: []}
    with ExitStack() as stack:
        ours = stack.enter_context(project.make(tiny=quick, **SETTINGS))
        ours.dvc("repro")
        ours.commit("results")
        contestants = {
            OURS: ours,
            BEFORE: stack.enter_context(_older(ours.mirror)),
            IMPORTS: _imports(ours),
        }
        for turn in range(2 if quick else 4):
            for name, sandbox in contestants.items():
                lap = _lap(sandbox, seed=100 + turn)
                print(f"  {name}: {lap['all']:.1f} s", file=sys.stderr, flush=True)
                if turn:
                    laps[name].append(lap)
    return {"laps": laps}


@contextmanager
def _older(mirror: Path) -> Iterator[Project]:
    """The older commit, which has run once with the same settings."""
    with TemporaryDirectory(prefix="benchmark-", ignore_cleanup_errors=True) as folder:
        older = Project(Path(folder) / "project", mirror)
        clone = ["git", "clone", "--quiet", str(ROOT), str(older.folder)]
        subprocess.run(clone, check=True)
        if subprocess.run(["git", "checkout", "--quiet", BEFORE], cwd=older.folder).returncode:
            raise PipelineError(f"commit {BEFORE} is not in this clone: `git fetch --unshallow`")
        older.git("config", "user.name", "Ada")
        older.git("config", "user.email", "ada@example.org")
        older.set(**SETTINGS)
        older.dvc("repro")
        older.commit("results")
        yield older


def _imports(ours: Project) -> Project:
    """Our pipeline as a skeleton: each stage imports what it imports, and writes a line."""
    skeleton = ours.copy(ours.folder.parent / "imports")
    (skeleton.folder / "stage.py").write_text(STAGE)
    path = skeleton.folder / "dvc.yaml"
    yaml = YAML()
    pipeline = yaml.load(path)
    for name, stage in pipeline["stages"].items():
        listed = f"modules-{name}.json"
        ours.run(sys.executable, "-c", LISTED, name, str(skeleton.folder / listed))
        stage["cmd"] = " ".join(["python stage.py", listed, *outputs(name)])
    yaml.dump(pipeline, path)
    shutil.rmtree(skeleton.folder / "data/raw")
    skeleton.dvc("repro")
    skeleton.commit("skeleton")
    return skeleton


def _lap(sandbox: Project, seed: int) -> Lap:
    """One further experiment: seconds in all, and of each stage that runs."""
    command = ["dvc", "exp", "run", "-S", f"seed={seed}"]
    done = process.run(command, sandbox.folder, sandbox.environment)
    start, stages = process.stages(done)
    return {"all": done.seconds, "before the first stage": start, **stages}


def tables(raw: dict[str, Any]) -> list[Table]:
    """Seconds by stage; ratios turn by turn."""
    laps: dict[str, list[Lap]] = raw["laps"]

    def of_before(name: str) -> float:
        pairs = zip(laps[name], laps[BEFORE], strict=True)
        return statistics.median(lap["all"] / before["all"] for lap, before in pairs)

    def median(name: str, part: str) -> str:
        taken = [lap[part] for lap in laps[name] if part in lap]
        return f"{statistics.median(taken):.1f}" if taken else "-"

    parts = list(dict.fromkeys(part for lap in laps[OURS] for part in lap))
    rows = [[part, *(median(name, part) for name in laps), ""] for part in parts]
    ratio = of_before(OURS)
    shares = [f"{ratio:.2f}", "1.00", f"{of_before(IMPORTS):.2f}", target(ratio, 0.4)]
    rows.append([f"of {BEFORE}", *shares])
    return [
        Table(
            f"One further experiment against {BEFORE}",
            "`dvc exp run -S seed=N` of two layers of 16 units, one epoch, everything else as in "
            "params.yaml, in turn: median seconds; ratios turn by turn. A stage lasts "
            "until DVC starts the next. *Imports alone*: the same pipeline in DVC, of which each "
            "stage imports the modules that ours have loaded in the end, and writes a line.",
            ["", *laps, "target"],
            rows,
        )
    ]
