"""A file is whole or not there; the same content gives the same bytes; nothing is executed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from mnist_vae import arrays as arrays_file
from mnist_vae import errors, files
from mnist_vae.errors import PipelineError
from tests.support.checkout import ROOT


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    files.write_text(path, "old")
    with pytest.raises(RuntimeError), files.atomic(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_a_written_file_has_the_usual_permissions(tmp_path: Path) -> None:
    files.write_text(tmp_path / "ours", "x")
    (tmp_path / "plain").write_text("x")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_json_refuses_what_is_no_json(tmp_path: Path) -> None:
    files.write_json(tmp_path / "a.json", {"b": 1, "a": {"c": 2.5}})
    assert json.loads((tmp_path / "a.json").read_text()) == {"b": 1, "a": {"c": 2.5}}
    with pytest.raises(ValueError, match="JSON compliant"):
        files.write_json(tmp_path / "a.json", {"b": float("nan")})
    assert json.loads((tmp_path / "a.json").read_text())["b"] == 1


@given(
    st.dictionaries(
        st.text("abc/.", min_size=1, max_size=5),
        arrays_of.arrays(
            st.sampled_from([np.uint8, np.int32, np.float32, np.float64]),
            arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_arrays_round_trip(
    tmp_path_factory: pytest.TempPathFactory, arrays: dict[str, np.ndarray]
) -> None:
    path = tmp_path_factory.mktemp("arrays") / "a.safetensors"
    arrays_file.write_arrays(path, arrays, {"about": "them"})
    loaded, metadata = arrays_file.read_arrays(path)
    assert metadata == {"about": "them"}
    assert loaded.keys() == arrays.keys()
    for name, array in arrays.items():
        assert loaded[name].dtype == array.dtype
        np.testing.assert_array_equal(loaded[name], array)
    before = path.read_bytes()
    arrays_file.write_arrays(path, dict(reversed(arrays.items())), metadata)
    assert path.read_bytes() == before


def test_a_strided_array_keeps_its_values(tmp_path: Path) -> None:
    array = np.arange(12.0).reshape(3, 4).T
    arrays_file.write_arrays(tmp_path / "a.safetensors", {"a": array})
    np.testing.assert_array_equal(
        arrays_file.read_arrays(tmp_path / "a.safetensors")[0]["a"], array
    )


@given(cut=st.integers(0, 199))
def test_a_truncated_file_is_named(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("cut") / "a.safetensors"
    arrays_file.write_arrays(path, {"a": np.arange(20.0)})
    path.write_bytes(path.read_bytes()[: cut or 1])
    with pytest.raises(PipelineError, match=r"a\.safetensors is damaged"):
        arrays_file.read_arrays(path)


def test_run_turns_faults_into_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(error: BaseException) -> str:
        def main() -> None:
            raise error

        with pytest.raises(SystemExit) as caught:
            errors.run(main)
        return str(caught.value.code)

    assert fail(PipelineError("do this")) == "error: do this"
    assert fail(OSError(28, "No space left on device", "a/b")) == (
        "error: No space left on device: a/b"
    )
    assert fail(KeyboardInterrupt()) == "130"
    assert fail(MemoryError()).startswith("error: out of memory; free some")
    with pytest.raises(RuntimeError) as no_memory:
        torch.empty(1 << 60)
    assert fail(no_memory.value).startswith("error: out of memory; free some")
    full_gpu = RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be ...")
    assert fail(full_gpu).startswith("error: out of memory; free some")
    with pytest.raises(RuntimeError, match="our own bug"):  # keeps its traceback
        errors.run(lambda: (_ for _ in ()).throw(RuntimeError("our own bug")))
    with pytest.raises(SystemExit) as caught:
        errors.run(lambda: None)
    assert caught.value.code == 0


def test_what_a_terminal_cannot_show_fails_nothing() -> None:
    code = "from mnist_vae import errors; errors.run(lambda: print('≤136.78 ± 0.50, β = 1'))"
    ascii_only = {"PYTHONPATH": str(ROOT / "src"), "PYTHONIOENCODING": "ascii:strict"}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **ascii_only}, capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b"?136.78 ? 0.50, ? = 1\n"


@pytest.mark.parametrize("lines", [1, 100_000])  # what waits for the end, and what does not
def test_a_reader_that_has_seen_enough_is_no_error(lines: int) -> None:
    code = f"from mnist_vae import errors; errors.run(lambda: print('line\\n' * {lines}))"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stdout=writer,
        stderr=subprocess.PIPE,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")
