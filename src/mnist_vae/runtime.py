"""Seeds, device, threads: what makes a run repeat bit for bit."""

import ctypes
import hashlib
import os
from dataclasses import dataclass

import torch

from mnist_vae import arithmetic
from mnist_vae.errors import PipelineError


@dataclass(frozen=True)
class RuntimeParams:
    """Where the arithmetic happens."""

    device: str
    threads: int
    arithmetic: str


def prepare(params: RuntimeParams) -> torch.device:
    """Fix the thread count, ask for deterministic algorithms, and return the device.

    Raises PipelineError if CUDA is asked for and there is none, and if this process computes
    otherwise than it was asked to.
    """
    wanted = params.arithmetic == "portable" and arithmetic.possible()
    settled = torch.backends.cpu.get_cpu_capability() == "AVX2" and arithmetic.portable()
    if wanted and not settled:
        raise PipelineError("arithmetic is portable, but torch was loaded before that was set")
    # Adam's averages of pixels that are hardly ever lit decay into denormal numbers, which Intel's
    # CPUs compute a hundred times slower. Threads that are made from now on do the same.
    torch.set_flush_denormal(True)
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # cuBLAS repeats only with a fixed workspace
    torch.set_num_threads(params.threads)
    _keep_freed_memory()
    # use_deterministic_algorithms, without its 3 s to import torch's compiler, which we do not use.
    torch.set_deterministic_debug_mode("error")
    torch.backends.cudnn.allow_tf32 = False  # else a GPU's convolutions keep 10 bits of 23
    # Every tensor is written before it is read; filling them first takes a fiftieth of an epoch.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    cuda = torch.cuda.is_available()
    if params.device == "cuda" and not cuda:
        raise PipelineError("device is cuda, but torch finds no CUDA GPU; use device: auto or cpu")
    return torch.device("cuda" if cuda and params.device != "cpu" else "cpu")


def _keep_freed_memory() -> None:
    """Let glibc keep what it frees, up to 32 MB a piece: torch asks for the same sizes again.

    Giving it back and faulting it in anew takes a third of the time of training with 50 samples.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(-3, 32 << 20)  # M_MMAP_THRESHOLD, at its largest
        libc.mallopt(-1, (1 << 31) - 1)  # M_TRIM_THRESHOLD


def describe(device: torch.device) -> str:
    """The device in words, for people."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} (CUDA {torch.version.cuda})"
    capability = torch.backends.cpu.get_cpu_capability()
    return f"CPU ({capability}, {torch.get_num_threads()} threads)"


def promise(device: torch.device) -> str:
    """Where the same run has the same bytes, for people."""
    return f"the same bytes {arithmetic.promise(device.type)}"


def generator(seed: int, purpose: str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator of its own for each random draw: changing one never shifts another."""
    return reseed(torch.Generator(device), seed, purpose)


def reseed(generator: torch.Generator, seed: int, purpose: str) -> torch.Generator:
    """Set a generator to the start of the sequence of this seed and purpose."""
    digest = hashlib.sha256(f"{purpose}/{seed}".encode()).digest()
    return generator.manual_seed(int.from_bytes(digest[:8], "little", signed=True))
