"""Which arithmetic the libraries use: the same bytes on every x86-64 CPU, or the fastest.

The libraries choose their code by the CPU's features, maker and caches, once, when they are loaded.
So this must be decided before torch and numpy are imported; stages/__main__.py does.
"""

import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

from mnist_vae.errors import PipelineError

# What every x86-64 CPU with AVX2 computes in the same way. MKL's own AVX2 code differs between the
# makers of CPUs; its compatible code does not, and is slow: products are left to oneDNN.
SETTINGS = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_CBWR": "COMPATIBLE",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",  # numpy's products, scipy's and scikit-learn's
    "OPENBLAS_L2_SIZE": "512",  # kB
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
}


@dataclass(frozen=True)
class ArithmeticParams:
    """portable or native."""

    arithmetic: str


def prepare(params: ArithmeticParams) -> None:
    """Choose for this process and its children, which have imported neither torch nor numpy.

    Raises PipelineError if one of them is loaded already.
    """
    if params.arithmetic == "portable" and possible() and not portable():
        if loaded := {"numpy", "torch"} & sys.modules.keys():
            raise PipelineError(
                f"arithmetic is portable, but {' and '.join(sorted(loaded))} had been loaded "
                "before that was set; run the stage as dvc.yaml does"
            )
        os.environ.update(SETTINGS)


def portable() -> bool:
    """Does this process compute portably?"""
    return all(os.environ.get(name) == value for name, value in SETTINGS.items())


def possible() -> bool:
    """Can this machine? It takes an x86-64 CPU with AVX2 and FMA, under Linux."""
    return platform.machine() == "x86_64" and {"avx2", "fma"} <= set(cpu("flags").split())


def by_intel() -> bool:
    """Is the CPU one of Intel's?"""
    return cpu("vendor_id") == "GenuineIntel"


def cpu(name: str) -> str:
    """What Linux says of the first CPU under that name in /proc/cpuinfo; empty if nothing."""
    listed = Path("/proc/cpuinfo")
    for line in listed.read_text().splitlines() if listed.exists() else []:
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def promise(device: str) -> str:
    """Where a run has the same bytes, computed in this process on that type of device."""
    if device != "cpu":
        return "on GPUs of this type, with this torch"
    if portable():
        return "on every x86-64 CPU with AVX2"
    return "on CPUs of this kind"
