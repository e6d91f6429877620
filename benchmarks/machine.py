"""What was measured on: the machine and the versions, in words."""

import os
import platform
import subprocess
from importlib import metadata

import torch

from benchmarks.epoch import KERAS
from mnist_vae.tracking.reproduced import cpu


def describe() -> dict[str, str]:
    """Processor, cores, memory, versions."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    packages = {name: metadata.version(name) for name in ("torch", "dvc", "mlflow")}
    ask = "import importlib.metadata as m; print(m.version('keras'), m.version('tensorflow'))"
    if KERAS.exists():
        asked = subprocess.run([KERAS, "-c", ask], capture_output=True, text=True, check=True)
        packages |= dict(zip(("keras", "tensorflow"), asked.stdout.split(), strict=True))
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return {
        "machine": f"{cpu()}, {os.cpu_count()} cores, "
        f"{torch.backends.cpu.get_cpu_capability()}, {pages / 2**30:.0f} GiB, {gpu}",
        "versions": ", ".join(
            [f"Python {platform.python_version()}", *(f"{n} {v}" for n, v in packages.items())]
        ),
    }
