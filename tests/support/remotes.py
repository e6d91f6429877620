"""A project with a Git remote and a DVC remote, both folders, and what a sweep leaves there."""

import json
from pathlib import Path

from tests.support.sandbox import Project

# A point that passes every check and fails, and its experiment's name.
DIVERGES = "input_lr_scale=100 learning_rate=1 output_lr_scale=100 schedule=constant"
DIVERGENT = "input_lr_scale-100_learning_rate-1_output_lr_scale-100_schedule-constant"


def with_remotes(project: Project, folder: Path) -> Project:
    """Give a project its remotes, and clones of sweeps a place, in the folder."""
    project.run("git", "init", "--quiet", "--bare", "--initial-branch=main", str(folder / "git"))
    project.git("remote", "add", "origin", str(folder / "git"))
    project.git("push", "--quiet", "origin", "HEAD:main")
    project.dvc("remote", "add", "--local", "--default", "store", str(folder / "store"))
    project.environment |= {"MNIST_VAE_SCRATCH": str(folder / "scratch")}
    return project


def pushed(project: Project) -> list[str]:
    """The names of the experiments on the Git remote, sorted."""
    refs = project.git("ls-remote", "origin", "refs/exps/*").splitlines()
    return sorted(ref.rpartition("/")[2] for ref in refs)


def states(project: Project, sweep: str) -> dict[str, str]:
    """Of a sweep's points: experiment -> state."""
    listed = json.loads(project.command("sweep", "status", sweep, "--json"))
    return {point["experiment"]: point["state"] for point in listed}
