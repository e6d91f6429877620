"""In portable arithmetic the number of threads changes no byte of a fully connected network."""

import json
import os
import subprocess
import sys

import pytest

from mnist_vae import arithmetic
from tests.support.checkout import ROOT

THREADS = ("1", "2", "3", "5", "9", "16")


def test_gradients_have_the_same_bytes_on_any_number_of_threads() -> None:
    if not arithmetic.possible():
        pytest.skip("portable arithmetic takes an x86-64 CPU with AVX2")
    done = subprocess.run(
        [sys.executable, "-m", "tests.golden.threads", *THREADS],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "src", "OMP_WAIT_POLICY": "PASSIVE"},
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, dict[str, str]] = json.loads(done.stdout)
    assert all(tuple(digests) == THREADS for digests in found.values())
    apart = {name: digests for name, digests in found.items() if len({*digests.values()}) > 1}
    assert not apart
