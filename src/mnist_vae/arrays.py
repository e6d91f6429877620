"""Files of named arrays: safetensors, the same bytes for the same content, nothing to execute."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from mnist_vae.errors import PipelineError
from mnist_vae.files import atomic


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
