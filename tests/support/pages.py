"""The commands that README and docs show in their `sh` blocks."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from tests.support.checkout import ROOT

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
# A line of shell goes on after a backslash and inside quotes.
_LINE = re.compile(r"""(?:[^\\\n"']|\\.|\\\n|"[^"]*"|'[^']*')+""")


@dataclass(frozen=True)
class Command:
    """One command line of a page, without its comment."""

    page: str
    text: str

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text)


def commands(page: Path) -> list[Command]:
    """What the page's `sh` blocks tell to type, from top to bottom."""
    found = []
    for block in _BLOCK.findall(page.read_text(encoding="utf-8")):
        bare = re.sub(r"(^|\s)#.*", "", block)
        found += [line.strip() for line in _LINE.findall(bare)]
    return [Command(page.name, text) for text in found if text]
