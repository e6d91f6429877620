"""A sweep as SLURM job arrays: submitted here, scheduled, requeued and killed there."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from mnist_vae.errors import PipelineError
from mnist_vae.files import write_text
from mnist_vae.programs import run
from mnist_vae.sweep import plan
from mnist_vae.sweep.plan import Sweep

SCRIPT = "job.sh"  # in the sweep's folder
JOBS = "jobs"  # there, too: a line for each array, its id and first point
ALIVE = {"RUNNING": "running", "COMPLETING": "running"}  # all other states of squeue wait

# `wait` ends when a signal comes, so it is called until the task has ended. Stopped before its
# time was up, a job that still runs is put back by itself; one that is being requeued or cancelled
# is left alone. Its id alone would not do: one task of an array has that of the whole array.
_JOB = """#!/usr/bin/env bash
#SBATCH --job-name={job}
#SBATCH --requeue
#SBATCH --signal=B:TERM@60
#SBATCH --output={folder}/slurm.log
#SBATCH --open-mode=append
{options}
cd {root}
index=$((${{VAE_FIRST:-0}} + SLURM_ARRAY_TASK_ID))
{python} -m mnist_vae sweep work {name} "$index" >>{folder}/"$index.log" 2>&1 &
task=$!
trap 'kill -TERM "$task" 2>/dev/null' TERM
wait "$task"; status=$?
while kill -0 "$task" 2>/dev/null; do wait "$task"; status=$?; done
me="${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID"
state=$(squeue --noheader --job "$me" --format %T)
if [ "$status" = 75 ] && [ "$state" = RUNNING ]; then scontrol requeue "$me"; fi
exit "$status"
"""


def write_script(root: Path, sweep: Sweep, options: Sequence[str]) -> None:
    """The job's script, with options as sbatch takes them."""
    folder = plan.folder_of(root, sweep.name).resolve()
    text = _JOB.format(
        job=_job(sweep),
        folder=shlex.quote(str(folder)),
        options=f"#SBATCH {shlex.join(options)}" if options else "",
        root=shlex.quote(str(root.resolve())),
        python=shlex.quote(sys.executable),
        name=sweep.name,
    )
    write_text(folder / SCRIPT, text)


def submit(root: Path, sweep: Sweep, indices: Iterable[int], at_once: int | None) -> list[str]:
    """Submit points as job arrays and return the jobs' ids.

    Raises PipelineError, one line, if there is no SLURM here or it refuses.
    """
    if not shutil.which("sbatch"):
        raise PipelineError("there is no sbatch here: submit on a machine of the SLURM cluster")
    folder = plan.folder_of(root, sweep.name)
    if not (folder / SCRIPT).exists():
        raise PipelineError(f"{sweep.name} has never been submitted; `vae sweep submit` does that")
    size = _array_size()
    limit = f"%{at_once}" if at_once else ""
    ids = []
    for chunk, part in groupby(sorted(indices), key=lambda index: index // size):
        array = ",".join(str(index - chunk * size) for index in part)
        command = ["sbatch", "--parsable", f"--array={array}{limit}"]
        command += [f"--export=ALL,VAE_FIRST={chunk * size}", str(folder / SCRIPT)]
        ids.append(run(command, root).strip().partition(";")[0])
        with (folder / JOBS).open("a", encoding="utf-8") as jobs:
            jobs.write(f"{ids[-1]} {chunk * size}\n")
    return ids


def states(root: Path, sweep: Sweep) -> dict[int, str]:
    """What SLURM says of the points that it has: index -> queued or running.

    Raises PipelineError if the sweep was submitted and SLURM does not answer.
    """
    first = _arrays(root, sweep)
    if not first:
        return {}
    shown = ["--noheader", "--array", "--name", _job(sweep), "--format", "%F %K %T"]
    found = {}
    for line in run(["squeue", *shown], root).splitlines():
        job, task, state = line.split()
        if job in first and task.isdigit():
            found[first[job] + int(task)] = ALIVE.get(state, "queued")
    return found


def ended(root: Path, sweep: Sweep) -> dict[int, str]:
    """How SLURM's accounting says that points' last jobs ended, where there is accounting."""
    first = _arrays(root, sweep)
    if not first or not shutil.which("sacct"):
        return {}
    command = ["sacct", "-nXP", "--jobs", ",".join(first), "--format", "JobID,State"]
    done = subprocess.run(command, capture_output=True, text=True)
    found = {}
    for line in done.stdout.splitlines() if done.returncode == 0 else []:
        if match := re.fullmatch(r"(\d+)_(\d+)\|([A-Z_]+).*", line):
            found[first[match[1]] + int(match[2])] = match[3]
    return found


def _arrays(root: Path, sweep: Sweep) -> dict[str, int]:
    """The job arrays that the sweep was submitted as: id -> first point."""
    noted = plan.folder_of(root, sweep.name) / JOBS
    lines = noted.read_text(encoding="utf-8").splitlines() if noted.exists() else []
    return {job: int(first) for job, first in map(str.split, lines)}


def _job(sweep: Sweep) -> str:
    return f"vae-{sweep.name}"


def _array_size() -> int:
    """Above the largest index that this SLURM allows in an array."""
    found = re.search(r"MaxArraySize\s*=\s*(\d+)", run(["scontrol", "show", "config"], Path.cwd()))
    return int(found[1]) if found else 1001
