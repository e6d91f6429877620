"""Every command that README and docs show in an `sh` block is run as it stands, from top to bottom.

A new one is run as well, without a word here. What cannot be run is excused with the reason, and
what is too much for a tiny project gets another argument.
"""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.integration.test_own_images import draw
from tests.support.checkout import ROOT
from tests.support.pages import PAGES, Command, commands
from tests.support.sandbox import Project

EXCUSED = {  # what a command begins with -> why it is not run here
    ". .venv/bin/activate": "the tests' environment is active",
    "vae ui": "it serves until Ctrl-C; test_ui does that",
    "mlflow models serve": "it serves; test_tracking_models runs this line and the next",
    "python -c 'import json; print(": "it asks that server",
    "vae sweep submit": "it needs a cluster; test_slurm has one",
    "vae sweep retry": "it needs a cluster; test_slurm has one",
    "vae search": "forty trainings; test_search has some",
    "dvc exp run --queue -S validation_images=0": "five trainings; test_tracking works a queue off",
}
PAGES_OF_OTHERS = {"server.md": "test_team_server does what it says, with PostgreSQL"}
ONLY_SHOWN = {"make": "it makes or uses an environment of its own: `make --dry-run` runs"}
CHANGED = {  # in the sandbox -> why
    "--seeds 4": ("--seeds 1", "it has one seed"),
    "/shared/dvc": ("storage", "its own folder"),
    "test_images=500": ("test_images=50", "it has 200 images of its own"),
    "validation_images=500": ("validation_images=30", "as above"),
}


def excuse(command: Command) -> str:
    return next((why for start, why in EXCUSED.items() if command.text.startswith(start)), "")


@pytest.fixture(scope="module")
def typed(reproduced: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project in which one types `vae`, with a place to push to."""
    folder = tmp_path_factory.mktemp("typed")
    project = reproduced.copy(folder / "project")
    (folder / "bin").mkdir()
    vae = folder / "bin/vae"  # the installed one runs the code of the checkout
    vae.write_text('#!/bin/sh\nexec python -m mnist_vae "$@"\n')
    vae.chmod(0o700)
    project.environment["PATH"] = f"{vae.parent}:{project.environment['PATH']}"
    project.environment["PYTHONPATH"] = str(project.folder / "src")
    subprocess.run(["git", "init", "--quiet", "--bare", folder / "origin"], check=True)
    project.git("remote", "add", "origin", str(folder / "origin"))
    project.git("push", "--quiet", "--set-upstream", "origin", "main")
    draw(project.folder / "data/mine")
    return project


def as_committed(project: Project) -> None:
    project.git("checkout", "--quiet", ".")
    project.dvc("checkout", "--quiet")


def run(project: Project, command: Command) -> None:
    text = command.text
    if command.words[0] in ONLY_SHOWN:
        text = text.replace("make", "make --dry-run", 1)
    for before, (now, _) in CHANGED.items():
        text = text.replace(before, now)
    if "<" in text:
        text = re.sub("<[a-z]+>", project.dvc("exp", "list", "--name-only").split()[0], text)
    with project.start("bash", "-euo", "pipefail", "-c", text) as process:
        output = process.communicate(timeout=300)[0]
    assert process.returncode == 0, f"{command.page}: {text}\n{output}"
    assert "Traceback" not in output


@pytest.mark.parametrize(
    "page", [page for page in PAGES if commands(page)], ids=lambda page: page.name
)
def test_every_command_runs_as_it_stands(typed: Project, page: Path) -> None:
    if page.name in PAGES_OF_OTHERS:
        pytest.skip(PAGES_OF_OTHERS[page.name])
    as_committed(typed)  # each page for itself
    for command in commands(page):
        if not excuse(command):
            run(typed, command)


def test_an_unknown_command_fails_and_no_excuse_is_left_over(typed: Project) -> None:
    with pytest.raises(AssertionError, match="invalid choice"):
        run(typed, Command("README.md", "vae no-such-command"))
    everything = [command for page in PAGES for command in commands(page)]
    for start in EXCUSED:
        assert any(command.text.startswith(start) for command in everything), start
    for part in CHANGED:
        assert any(part in command.text for command in everything), part
    assert {page.name for page in (ROOT / "docs").glob("*.md")} >= PAGES_OF_OTHERS.keys()


@pytest.mark.parametrize(
    "arguments",
    [
        "run-of",
        "run-of HEAD",
        "changes",
        "rate-distortion --protocol greyscale HEAD --output {}",
        "seeds",
        "compare HEAD HEAD",
        "champion --metric greyscale/validation_elbo",
        "rebuild",
    ],
)
def test_programs_get_json_from_every_folder(
    typed: Project, arguments: str, tmp_path: Path
) -> None:
    as_committed(typed)  # `changes` exits with 1 where a page has left an experiment
    if arguments == "rebuild":
        typed.command("rebuild")  # the next ones have nothing to do
    words = ["vae", *arguments.format(tmp_path / "a.png").split(), "--json"]
    said = {
        subprocess.check_output(words, cwd=typed.folder / folder, env=typed.environment, text=True)
        for folder in (".", "docs")
    }
    assert len(said) == 1
    told = json.loads(said.pop())
    assert told
    lines = subprocess.check_output(words[:-1], cwd=typed.folder, env=typed.environment, text=True)
    with pytest.raises(json.JSONDecodeError):
        json.loads(lines)  # which people get
