"""Weights, metrics, arrays and pictures have the recorded bytes here, and on other makers' CPUs."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mnist_vae import arithmetic
from tests.support.checkout import ROOT

RECORDED: dict[str, str] = json.loads((ROOT / "tests/golden/portable.json").read_text())
PROGRAM = ("-m", "tests.golden.portable")
CPUS = {  # of two makers, none with AVX-512
    "EPYC-Rome": ("conv", "iwae", "continuous"),
    "EPYC-Milan": ("mlp", "mixture"),
    "Haswell-v4": ("mlp", "pictures", "mixture"),
}

pytestmark = pytest.mark.skipif(
    not arithmetic.possible(), reason="portable arithmetic takes an x86-64 CPU with AVX2"
)


def hashes(command: tuple[str, ...], raw: Path, parts: tuple[str, ...] = ()) -> dict[str, str]:
    done = subprocess.run(
        [*command, *PROGRAM, str(raw), *parts],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": "src"},
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


def test_every_output_has_the_recorded_bytes(mnist_raw: Path) -> None:
    assert hashes((sys.executable,), mnist_raw) == RECORDED


@pytest.mark.parametrize("cpu", CPUS)
def test_and_on_another_cpu(mnist_raw: Path, cpu: str) -> None:
    emulator = shutil.which("qemu-x86_64")
    if not emulator:
        pytest.skip("qemu-x86_64 (Debian's qemu-user) is not installed")
    real = str(Path(sys.executable).resolve())
    # -0: the name by which Python finds its environment
    found = hashes((emulator, "-cpu", cpu, "-0", sys.executable, real), mnist_raw, CPUS[cpu])
    assert found
    assert found == {path: RECORDED[path] for path in found}
