"""A short training gives the recorded bytes on x86-64 CPUs with AVX2, elsewhere the numbers."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mnist_vae import arithmetic
from tests.support.checkout import ROOT

RECORDED: dict[str, Any] = json.loads((ROOT / "tests/golden/short_training.json").read_text())
TOLERANCE = 0.25  # nats per image; when recorded, the settings were at most 0.07 apart
SETTINGS = {
    "native": (1, {}),
    "native, two threads": (2, {}),
    "native, three threads": (3, {}),
    "the oldest CPU": (
        1,
        {
            "ATEN_CPU_CAPABILITY": "default",
            "MKL_CBWR": "COMPATIBLE",
            "ONEDNN_MAX_CPU_ISA": "SSE41",
        },
    ),
}


def train(raw: Path, threads: int, kind: str = "portable", **settings: str) -> dict[str, Any]:
    # Waiting threads sleep: with more threads than free cores, spinning takes minutes.
    done = subprocess.run(
        [sys.executable, "-m", "tests.golden.short_training", str(raw), str(threads), kind],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "src", "OMP_WAIT_POLICY": "PASSIVE", **settings},
        check=True,
        capture_output=True,
        text=True,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.fixture(scope="module")
def here(mnist_raw: Path) -> dict[str, Any]:
    return train(mnist_raw, 1)


def apart(first: dict[str, Any], second: dict[str, Any]) -> float:
    """The largest difference of any number of any epoch, in nats."""
    assert first["nats"].keys() == second["nats"].keys()
    return max(
        abs(a - b)
        for name in first["nats"]
        for a, b in zip(first["nats"][name], second["nats"][name], strict=True)
    )


def test_the_recorded_numbers_come_out(here: dict[str, Any]) -> None:
    assert apart(here, RECORDED) < TOLERANCE


def portable() -> None:
    if not arithmetic.possible():
        pytest.skip("portable arithmetic takes an x86-64 CPU with AVX2")


def test_the_recorded_bytes_come_out_on_any_number_of_threads(
    here: dict[str, Any], mnist_raw: Path
) -> None:
    portable()
    assert here["environment"]["torch"] == RECORDED["environment"]["torch"]
    for got in (here, *(train(mnist_raw, threads) for threads in (2, 3, 4))):
        assert got["weights"] == RECORDED["weights"]
        assert got["nats"] == RECORDED["nats"]


@pytest.mark.parametrize("setting", SETTINGS)
def test_threads_and_cpu_types_agree_within_the_tolerance(
    here: dict[str, Any], mnist_raw: Path, setting: str
) -> None:
    threads, environment = SETTINGS[setting]
    other = train(mnist_raw, threads, "native", **environment)
    assert apart(here, other) < TOLERANCE
    assert other["environment"]["threads"] == str(threads)
    if environment and other["environment"]["machine"] == "x86_64":  # these variables are for it
        assert other["environment"]["capability"] == "DEFAULT"
        assert other["weights"] != here["weights"]
