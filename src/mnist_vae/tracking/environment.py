"""What the last bits of the weights depend on: training keeps a record, and `track` tags the run.

A record is named after the weights' md5 and the parameters that say where they are computed, which
need not change them. It lies in .dvc/tmp of the main project and cannot be a DVC output, since the
same run on two machines has the same outputs.
"""

import hashlib
import json
import platform
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mnist_vae import arithmetic
from mnist_vae.experiments.outputs import md5
from mnist_vae.experiments.repository import root

SECONDS = "env.train_seconds"
_BEGUN = time.monotonic()  # when training, whose first import this is, began


def describe(device: str) -> dict[str, str]:
    """The tags `env.*` of this process; device: the parameter."""
    import torch

    lock = Path("requirements.lock")
    values = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": str(torch.get_num_threads()),
        "arithmetic": "portable" if arithmetic.portable() else "native",
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "cpu_model": arithmetic.cpu("model name"),
        "blas": "MKL" if torch.backends.mkl.is_available() else "OpenBLAS or other",
        "device": "cuda" if torch.cuda.is_available() and device != "cpu" else "cpu",
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
    }
    if lock.exists():
        values["requirements.lock"] = hashlib.sha256(lock.read_bytes()).hexdigest()
    return {f"env.{name}": value for name, value in values.items()}


def record(weights: Path, params: Mapping[str, Any], tags: Mapping[str, str]) -> None:
    """Keep what `describe` gave when the training of `weights` began, and its seconds. Never fails.

    The seconds are those of this process: fewer than the training's if a checkpoint had its start.
    """
    try:
        from mnist_vae.files import write_json

        noted = dict(tags) | {SECONDS: f"{time.monotonic() - _BEGUN:.0f}"}
        write_json(_path(root(), md5(weights.read_bytes()), params), noted)
    except Exception as error:  # whatever it is, training has succeeded
        print(f"warning: MLflow will not show the environment ({error})", file=sys.stderr)


def recorded(folder: Path, weights_md5: str, params: Mapping[str, Any]) -> dict[str, str]:
    """The tags of the training that made these weights in this project; empty if none did."""
    path = _path(folder, weights_md5, params)
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def _path(folder: Path, weights_md5: str, params: Mapping[str, Any]) -> Path:
    name = f"{weights_md5}-{params['device']}-{params['threads']}"
    return folder / f".dvc/tmp/mlflow/trained/{name}.json"
