"""How commands are added to `vae`, and arguments that several of them take."""

import argparse
import json
import textwrap
from collections.abc import Callable
from pathlib import Path

Function = Callable[[argparse.Namespace], None]
Add = Callable[[str, Function, str, str], argparse.ArgumentParser]
EXITS = "exit status: 0; 1 with one line that says what is wrong; 2 for wrong arguments"


def adder(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", program: str) -> Add:
    """What adds a command to a program: name, function, what it does, arguments of an example."""

    def add(name: str, function: Function, says: str, example: str) -> argparse.ArgumentParser:
        added = commands.add_parser(
            name,
            help=says,
            description=textwrap.fill(says),
            epilog=f"example: {program} {name} {example}\n{EXITS}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        added.set_defaults(function=function)
        return added

    return add


def html(name: str) -> Path:
    """A page's path, as it is meant where the command is typed."""
    if not name.endswith(".html"):
        raise argparse.ArgumentTypeError(f"{name}: the page is HTML, so its name ends in .html")
    return Path(name).resolve()


def png(name: str) -> Path:
    """A picture's path, as it is meant where the command is typed."""
    if not name.endswith(".png"):
        raise argparse.ArgumentTypeError(f"{name}: the picture is a PNG, so its name ends in .png")
    return Path(name).resolve()


def for_programs(parser: "argparse.ArgumentParser | argparse._MutuallyExclusiveGroup") -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help="for programs")


def say(arguments: argparse.Namespace, plain: object, *lines: str) -> None:
    """Print `plain` as JSON if that was asked for, or else the lines."""
    print(json.dumps(plain, indent=2) if arguments.json else "\n".join(lines))
