"""benchmarks/results.json -> docs/performance.md, between two markers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mnist_vae.errors import PipelineError
from mnist_vae.files import write_text

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


@dataclass(frozen=True)
class Table:
    """A table with a heading and a note in Markdown; no rows: heading and note alone."""

    title: str
    note: str
    header: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()


def target(value: float, limit: float, unit: str = "") -> str:
    """Say whether `value` is at most `limit`."""
    return f"≤ {limit:g}{unit}: {'met' if value <= limit else 'missed'}"


def at_least(value: float, limit: float, unit: str = "") -> str:
    """Say whether `value` is at least `limit`."""
    return f"≥ {limit:g}{unit}: {'met' if value >= limit else 'missed'}"


def markdown(table: Table) -> str:
    """The table in Markdown, figures to the right."""
    parts = [f"### {table.title}", table.note]
    if table.rows:
        if any(len(row) != len(table.header) for row in table.rows):
            raise ValueError(f"{table.title}: a row has another length than the header")
        rule = ["---", *["--:"] * (len(table.header) - 1)]
        lines = [table.header, rule, *table.rows]
        cells = [[cell.replace("|", "\\|") for cell in line] for line in lines]
        parts.append("\n".join(f"| {' | '.join(line)} |" for line in cells))
    return "\n\n".join(part for part in parts if part)


def write(path: Path, tables: Sequence[Table]) -> None:
    """Replace what stands between the markers; PipelineError if they are not there."""
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise PipelineError(f"{path} has no lines {BEGIN} and {END} to write between")
    content = "\n\n".join(markdown(table) for table in tables)
    write_text(path, f"{before}{BEGIN}\n\n{content}\n\n{END}{after}")
