"""metrics/history.csv, the history of a training: a row per epoch, in nats per image."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from mnist_vae.errors import PipelineError
from mnist_vae.files import write_text

Row = dict[str, float]
DIGITS = 9  # of each number
# train_objective is what was maximised; all ELBOs are at beta = 1. train_*: means over the epoch's
# steps, on what the encoder saw then. validation_*: of the averaged weights after it.
REQUIRED = (
    "epoch",
    "beta",
    "learning_rate",
    "train_objective",
    "train_elbo",
    "train_rate",
    "train_distortion",
)
COLUMNS = (*REQUIRED, "validation_elbo", "validation_rate", "validation_distortion")


def rounded(row: Mapping[str, float]) -> Row:
    """The row as the file has it."""
    return {name: float(_text(value)) for name, value in row.items()}


def write(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Write all epochs; without a validation set, its cells are empty."""
    cells = [[_text(row[name]) if name in row else "" for name in COLUMNS] for row in rows]
    write_text(path, "".join(",".join(line) + "\n" for line in [COLUMNS, *cells]))


def parse(text: str) -> list[Row]:
    """The rows of any version of the file, without empty cells; ValueError if it is damaged."""
    try:
        return [
            {name: float(value) for name, value in row.items() if value}
            for row in csv.DictReader(text.splitlines())
        ]
    except (TypeError, csv.Error) as error:  # more cells than columns
        raise ValueError(error) from None


def read(path: Path) -> list[Row]:
    """Read all epochs; PipelineError if they are not what `write` writes, and finite."""
    try:
        rows = parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PipelineError(f"{path} does not exist; `dvc repro` makes it") from None
    except ValueError as error:  # bad UTF-8, too
        raise PipelineError(f"{path} is damaged ({error}); run `dvc repro train`") from None
    if not rows:
        raise PipelineError(f"{path} has no epochs; run `dvc repro train`")
    if missing := [name for name in REQUIRED if any(name not in row for row in rows)]:
        raise PipelineError(f"{path} has no {', '.join(missing)}; run `dvc repro train`")
    if wrong := [name for name in REQUIRED if not all(math.isfinite(row[name]) for row in rows)]:
        raise PipelineError(f"{path}: {', '.join(wrong)} not finite; run `dvc repro train`")
    return rows


def _text(value: float) -> str:
    return f"{value:.{DIGITS}g}"
