"""What the documents name exists: links, functions, modules, environment variables, commands."""

import pkgutil
import re
import subprocess
from pathlib import Path

import pytest

from mnist_vae.__main__ import _parser
from mnist_vae.sweep import points
from tests.support.checkout import ROOT, SCHEMA
from tests.support.pages import PAGES, commands

LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")  # not those to other places
FUNCTION = re.compile(r"`((?!dvc)[a-z_]+(?:\.(?!yaml|json|md|py)\w+)+)`")
VARIABLE = re.compile(r"\bMNIST_[A-Z_]+\b")
COMMANDS = _parser()._subparsers._group_actions[0].choices
SWEEPS = COMMANDS["sweep"]._subparsers._group_actions[0].choices
COMMAND = re.compile(r"(?<![\w/.-])vae (sweep )?([a-z][a-z-]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", ["method", "method-notes", "decisions"])
def test_functions_stand_where_the_page_says(page: str) -> None:
    named = FUNCTION.findall((ROOT / f"docs/{page}.md").read_text(encoding="utf-8"))
    assert named
    for name in named:
        assert pkgutil.resolve_name(f"mnist_vae.{name}")


def test_architecture_has_every_module_and_no_other() -> None:
    rooms = re.findall(
        r"(?:(?<=^ {4})|(?<=^.{52}  ))((?:[a-z_]+, )*[a-z_]+)",
        (ROOT / "docs/architecture.md").read_text(encoding="utf-8").split("```")[1],
        re.MULTILINE,
    )
    package = ROOT / "src/mnist_vae"
    modules = {file.stem for file in package.glob("*.py")} - {"__init__", "__main__"}
    folders = {file.parent.name for file in package.glob("*/__init__.py")}
    assert {name for room in rooms for name in room.split(", ")} == modules | folders


def test_every_environment_variable_has_its_line() -> None:
    code = [*(ROOT / "src").rglob("*.py"), *(ROOT / "stages").glob("*.py")]
    used = {name for file in code for name in VARIABLE.findall(file.read_text(encoding="utf-8"))}
    table = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
    assert {name for name in VARIABLE.findall(table)} == used


def test_every_command_exists() -> None:
    named = set()
    for page in PAGES:
        for code in re.findall(r"```.*?```|`[^`]+`", page.read_text(encoding="utf-8"), re.DOTALL):
            named |= set(COMMAND.findall(code))
    assert {name for sweep, name in named if sweep} <= set(SWEEPS)
    assert {name for sweep, name in named if not sweep} <= set(COMMANDS)
    assert len(named) > 8


def test_the_settings_of_every_experiment_that_is_shown_are_allowed() -> None:
    params, count = (ROOT / "params.yaml").read_bytes(), 0
    for page in PAGES:
        blocks = [one.text for one in commands(page)]
        variables = [text for text in blocks if re.match(r"[a-z]+=", text)]
        shown = [text for text in blocks if text.startswith("dvc exp run ")]
        shown += re.findall(
            r"`(dvc exp run [^`]*-S [^`]*[^`A-Z])`", page.read_text(encoding="utf-8")
        )
        for command in shown:
            typed = command.split("&&")[0].replace("dvc exp run", "printf '%s\\n'")
            typed = re.sub(r"--queue|-n \S+", "", typed)  # what is no setting
            shell = "\n".join(["set -f", *variables, typed])
            words = subprocess.check_output(["bash", "-euc", shell], text=True).split()
            last = {word.partition("=")[0]: word for word in words if word != "-S"}
            grid = points.grid(list(last.values()))
            assert points.check(grid, params, SCHEMA.read_bytes()), command
            count += 1
    assert count > 10


def test_every_help_has_an_example_and_the_exit_statuses() -> None:
    for program, parsers in (("vae", COMMANDS), ("vae sweep", SWEEPS)):
        for name, parser in parsers.items():
            if name != "sweep":
                assert f"\nexample: {program} {name}" in parser.format_help()
                assert "\nexit status: 0; 1 with one line" in parser.format_help()
