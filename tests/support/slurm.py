"""A SLURM cluster of two nodes of one CPU each, on this host and on ports of its own."""

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.support.sandbox import free_port, wait_for

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "munged")
NODES = ("n1", "n2")
CONFIGURATION = """ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
AuthType=auth/munge
AuthInfo=cred_expire=5
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_min_interval=0,batch_sched_delay=0
MpiDefault=none
SwitchType=switch/none
JobRequeue=1
KillWait=20
MinJobAge=10
SlurmdTimeout=10
ReturnToService=2
StateSaveLocation={folder}/ctld
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1 RealMemory=1
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1 RealMemory=1
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Why there can be no cluster here; empty if there can."""
    if os.getuid() != 0:
        return "a SLURM cluster of one host takes root"
    absent = [name for name in PROGRAMS if not shutil.which(name)]
    return f"{', '.join(absent)} not installed (Debian: slurm-wlm, munge)" if absent else ""


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """Start the cluster and yield what SLURM_CONF must be; skip where its daemons cannot run."""
    for name in ("ctld", *NODES):
        (folder / name).mkdir(parents=True)
    conf = folder / "slurm.conf"
    ports = [free_port() for _ in range(3)]
    host = platform.node().split(".")[0]
    conf.write_text(CONFIGURATION.format(host=host, ports=ports, folder=folder))
    env = os.environ | {"SLURM_CONF": str(conf)}
    try:
        if subprocess.run(["munge", "-n"], capture_output=True).returncode:
            shutil.chown(_made(Path("/run/munge")), "munge", "munge")
            _start(["runuser", "-u", "munge", "--", "munged"], env)
        for command in (["slurmctld"], *(["slurmd", "-N", node] for node in NODES)):
            _start(command, env)
        show = ["sinfo", "--noheader", "--Node", "--states=idle", "--format=%N"]
        wait_for(
            lambda: len(subprocess.run(show, env=env, capture_output=True).stdout.split()) == 2
        )
        yield str(conf)
    finally:
        for pid in folder.glob("*.pid"):
            with suppress(psutil.NoSuchProcess):
                psutil.Process(int(pid.read_text())).kill()
        for process in _of(str(conf)):
            with suppress(psutil.NoSuchProcess):
                process.kill()


def _start(command: list[str], env: dict[str, str]) -> None:
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"{command[0]} does not start here: {done.stderr.strip()}")


def lose(folder: Path, conf: str, node: str) -> None:
    """What a node's loss of power does: its daemon and all that runs there are gone."""
    there = _of(conf, node)
    above = {one.parent() for one in there} - {None, *there}
    steps = [one for one in above if one and "slurmstepd" in one.name()]
    daemon = psutil.Process(int((folder / f"slurmd.{node}.pid").read_text()))
    for process in (daemon, *steps, *there):  # those first who would report it
        with suppress(psutil.NoSuchProcess):
            process.kill()


def back(conf: str, node: str) -> None:
    """Start a node's daemon again."""
    subprocess.run(["slurmd", "-N", node], env=os.environ | {"SLURM_CONF": conf}, check=True)


def _of(conf: str, node: str = "") -> list[psutil.Process]:
    """What runs in the cluster's jobs, or in those on a node."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            env = process.environ()
            where = env.get("SLURMD_NODENAME", "")
            if env.get("SLURM_CONF") == conf and where and node in ("", where):
                found.append(process)
    return found


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder
