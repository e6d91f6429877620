"""A process computes in the arithmetic that was asked for, or not at all."""

import os
import subprocess
import sys

import pytest

from mnist_vae import arithmetic
from tests.support.checkout import ROOT

PREPARE = "from mnist_vae import arithmetic as a; a.prepare(a.ArithmeticParams('{}')); "
RUNTIME = (
    "import torch; from mnist_vae import linear, runtime; "
    "runtime.prepare(runtime.RuntimeParams('cpu', 2, '{}')); "
    "print(torch.backends.cpu.get_cpu_capability(), linear.ONEDNN)"
)

pytestmark = pytest.mark.skipif(
    not arithmetic.possible(), reason="portable arithmetic takes an x86-64 CPU with AVX2"
)


def python(code: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    ours = {name: value for name, value in os.environ.items() if name not in arithmetic.SETTINGS}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=ours | {"PYTHONPATH": str(ROOT / "src")} | environment,
        capture_output=True,
        text=True,
    )


def test_portable_takes_the_code_that_all_have() -> None:
    done = python(PREPARE.format("portable") + RUNTIME.format("portable"))
    assert (done.returncode, done.stdout) == (0, "AVX2 True\n"), done.stderr


def test_native_leaves_the_libraries_as_they_are() -> None:
    code = PREPARE.format("native") + RUNTIME.format("native")
    assert python(code).returncode == 0
    code = PREPARE.format("native") + "import os; print(os.environ.get('MKL_CBWR'))"
    assert python(code).stdout == "None\n"


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import numpy; " + PREPARE.format("portable"), "numpy had been loaded before"),
        ("import torch; " + PREPARE.format("portable"), "numpy and torch had been loaded before"),
        (RUNTIME.format("portable"), "torch was loaded before that was set"),
    ],
)
def test_too_late_is_refused(code: str, says: str) -> None:
    done = python(code)
    assert done.returncode != 0
    assert says in done.stderr


def test_other_settings_in_the_environment_do_not_count() -> None:
    code = PREPARE.format("portable") + RUNTIME.format("portable")
    done = python(code, ATEN_CPU_CAPABILITY="default", MKL_CBWR="AUTO", OPENBLAS_CORETYPE="Zen")
    assert (done.returncode, done.stdout) == (0, "AVX2 True\n"), done.stderr


def test_all_threads_flush_denormals() -> None:
    code = (
        "import torch; from mnist_vae import runtime; "
        "runtime.prepare(runtime.RuntimeParams('cpu', 4, 'native')); "
        "x = torch.full((1 << 22,), 2e-38); print(int((x * 0.1).count_nonzero()))"
    )
    assert python(code).stdout == "0\n"
    assert python(code.replace("runtime.prepare", "str")).stdout == f"{1 << 22}\n"
