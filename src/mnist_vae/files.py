"""Atomic writes and checked reads: a file is either whole or not there."""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from mnist_vae.errors import PipelineError


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` only if the block succeeds.

    An OSError of the temporary file names `path`.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes files private
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.filename is None or str(error.filename).endswith(".tmp"):
            error.filename = str(path)
        raise
    finally:
        if temporary:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` (UTF-8) atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, values: Mapping[str, object]) -> None:
    """Write one JSON object, keys in the given order; NaN and infinity raise ValueError."""
    write_text(path, json.dumps(values, indent=2, allow_nan=False) + "\n")


def write_arrays(
    path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> None:
    """Write named arrays as one safetensors file: the same content gives the same bytes.

    With two entries of metadata it does not: safetensors leaves their order to chance.
    """
    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    content = save(contiguous, dict(metadata) if metadata else None)
    with atomic(path) as temporary:
        temporary.write_bytes(content)  # not save_file: a full disk shall be an OSError


def read_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read all arrays and the metadata of a safetensors file.

    Raises PipelineError if the file is missing or damaged. Nothing in the file is executed.
    """
    try:
        with safe_open(path, framework="numpy") as stored:
            names = stored.keys()
            return {name: stored.get_tensor(name) for name in names}, stored.metadata() or {}
    except FileNotFoundError:
        raise PipelineError(f"{path} does not exist; `dvc repro` makes it") from None
    except SafetensorError as error:
        raise PipelineError(
            f"{path} is damaged ({error}); delete it, then `dvc checkout` or `dvc repro`"
        ) from error
