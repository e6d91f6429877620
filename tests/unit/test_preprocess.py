import contextlib
import hashlib
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_vae.arrays import read_arrays
from mnist_vae.errors import PipelineError
from mnist_vae.preprocess import PreprocessParams, binarize, parse_idx, preprocess, split, write
from tests.support.checkout import ROOT
from tests.support.settings import lay_out

SPLITS = ("train", "validation", "test")
DEFAULT = PreprocessParams(validation_images=10_000, split_seed=0, binarization_seed=0)
GENERATOR = np.random.default_rng(0)
TRAIN = (
    GENERATOR.integers(0, 256, (600, 784), dtype=np.uint8),
    GENERATOR.integers(0, 10, 600, dtype=np.uint8),
)
TEST = (TRAIN[0][:100], TRAIN[1][:100])

shapes = st.lists(st.integers(0, 6), min_size=1, max_size=4).map(tuple)


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


def random_array(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


@given(shapes)
def test_parse_idx_returns_what_was_written(shape: tuple[int, ...]) -> None:
    array = random_array(shape)
    np.testing.assert_array_equal(parse_idx(idx(array), shape, "file"), array, strict=True)


@given(shapes, st.data())
def test_any_truncation_is_refused(shape: tuple[int, ...], data: st.DataObject) -> None:
    whole = idx(random_array(shape))
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with pytest.raises(PipelineError, match="file is truncated: "):
        parse_idx(cut, shape, "file")


@given(shapes, st.data())
def test_any_changed_header_byte_is_refused(shape: tuple[int, ...], data: st.DataObject) -> None:
    damaged = bytearray(idx(random_array(shape)))
    damaged[data.draw(st.integers(0, 3 + 4 * len(shape)))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(PipelineError, match=r"^file "):
        parse_idx(bytes(damaged), shape, "file")


@given(st.binary(max_size=64), shapes)
def test_arbitrary_bytes_raise_nothing_else(junk: bytes, shape: tuple[int, ...]) -> None:
    with contextlib.suppress(PipelineError):
        assert parse_idx(junk, shape, "file").shape == shape


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is truncated: 0 bytes, the header alone has 8"),
        (b"\x1f\x8b\x08\0\0\0\0\0\0", "is compressed"),
        (b"<!DOCTYPE html>", "is no IDX file: it starts with 3c 21, not 00 00"),
        (b"\0\0\x0d\x01\0\0\0\x03abc", "holds elements of type 0x0d, not 0x08"),
        (b"\0\0\x08\x03\0\0\0\x03abc", "has 3 dimensions, not 1"),
        (b"\0\0\x08\x01\0\0\0\x04abcd", "is 4, not 3"),
        (b"\0\0\x08\x01\0\0\0\x03ab", "is truncated: 10 bytes, not 11"),
        (b"\0\0\x08\x01\0\0\0\x03abcd", "has trailing bytes: 12 bytes, not 11"),
    ],
)
def test_message_says_what_is_wrong(data: bytes, message: str) -> None:
    with pytest.raises(PipelineError) as caught:
        parse_idx(data, (3,), "data/raw/file")
    assert str(caught.value).startswith(f"data/raw/file {message}")
    assert str(caught.value).endswith("delete it and run `dvc repro`, which fetches it again")


@pytest.mark.parametrize("held_out", [0, 1, 100, 599])
def test_split_is_a_partition_in_the_original_order(held_out: int) -> None:
    splits = split(PreprocessParams(held_out, 3, 0), TRAIN, TEST)
    train, validation = splits["train"], splits["validation"]
    assert validation["images"].shape == validation["binarized"].shape == (held_out, 784)
    both = np.concatenate([train["index"], validation["index"]])
    np.testing.assert_array_equal(np.sort(both), np.arange(600))
    for name, (images, labels) in {"train": TRAIN, "validation": TRAIN, "test": TEST}.items():
        index = splits[name]["index"]
        assert index.dtype == np.int32
        assert (np.diff(index) > 0).all()
        np.testing.assert_array_equal(splits[name]["images"], images[index], strict=True)
        np.testing.assert_array_equal(splits[name]["labels"], labels[index], strict=True)


def test_no_validation_leaves_all_training_images() -> None:
    train = split(PreprocessParams(0, 3, 0), TRAIN, TEST)["train"]
    np.testing.assert_array_equal(train["images"], TRAIN[0])


def test_split_seed_decides_only_the_split() -> None:
    first, second = (split(PreprocessParams(100, seed, 0), TRAIN, TEST) for seed in (0, 1))
    assert (first["validation"]["index"] != second["validation"]["index"]).any()
    np.testing.assert_array_equal(first["test"]["binarized"], second["test"]["binarized"])


def test_an_images_draw_depends_only_on_the_binarization_seed() -> None:
    few = split(PreprocessParams(100, 0, 0), TRAIN, TEST)
    many = split(PreprocessParams(300, 0, 0), TRAIN, TEST)
    np.testing.assert_array_equal(few["test"]["binarized"], many["test"]["binarized"])
    common = np.isin(many["validation"]["index"], few["validation"]["index"])
    assert common.sum() == 100
    np.testing.assert_array_equal(
        few["validation"]["binarized"], many["validation"]["binarized"][common]
    )
    other = split(PreprocessParams(100, 0, 1), TRAIN, TEST)
    for name in ("validation", "test"):
        np.testing.assert_array_equal(few[name]["index"], other[name]["index"])
        assert (few[name]["binarized"] != other[name]["binarized"]).any()
    # TEST holds the first images of TRAIN, yet its draw is another one.
    both = np.isin(few["test"]["index"], few["validation"]["index"])
    same = few["validation"]["binarized"][few["validation"]["index"] < 100]
    assert (few["test"]["binarized"][both] != same).any()


def test_binarize_draws_intensity_over_255() -> None:
    draws = 20_000
    images = np.tile(np.arange(256, dtype=np.uint8), (draws, 1))
    drawn = binarize(images, np.random.default_rng(0))
    assert drawn.dtype == np.uint8
    assert set(np.unique(drawn)) == {0, 1}
    p = np.arange(256) / 255
    error = np.abs(drawn.mean(0) - p)
    assert (error <= 5 * np.sqrt(p * (1 - p) / draws)).all()  # exact for 0 and 255


def test_real_files(mnist_raw: Path, tmp_path: Path) -> None:
    write(preprocess(DEFAULT, mnist_raw), tmp_path)
    arrays = {name: read_arrays(tmp_path / f"{name}.safetensors")[0] for name in SPLITS}
    assert [len(arrays[name]["labels"]) for name in SPLITS] == [50_000, 10_000, 10_000]
    assert [sorted(arrays[name]) for name in SPLITS] == [
        ["images", "index", "labels"],
        ["binarized", "images", "index", "labels"],
        ["binarized", "images", "index", "labels"],
    ]
    assert arrays["test"]["labels"][:5].tolist() == [7, 2, 1, 0, 4]
    # A NumPy that draws other numbers from the same seed must not go unnoticed.
    digest = hashlib.sha256()
    for name in ("validation", "test"):
        for array in ("index", "binarized"):
            digest.update(arrays[name][array].tobytes())
    assert digest.hexdigest() == "051027c1a474f536ad6b66f5efc1ffab9d99b86293e49cc80c89c93bc7688958"

    first = {name: (tmp_path / f"{name}.safetensors").read_bytes() for name in SPLITS}
    write(preprocess(DEFAULT, mnist_raw), tmp_path)
    assert first == {name: (tmp_path / f"{name}.safetensors").read_bytes() for name in SPLITS}


@pytest.fixture
def copy(mnist_raw: Path, tmp_path: Path) -> Path:
    """A folder with links to the real files, each to be replaced at will."""
    for file in mnist_raw.iterdir():
        (tmp_path / file.name).symlink_to(file)
    return tmp_path


def test_wrong_label_is_refused(copy: Path) -> None:
    path = copy / "t10k-labels-idx1-ubyte"
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:-1] + b"\x0a")
    with pytest.raises(PipelineError, match="t10k-labels-idx1-ubyte holds the label 10"):
        preprocess(DEFAULT, copy)


def test_images_in_the_place_of_others_are_refused(copy: Path) -> None:
    (copy / "train-images-idx3-ubyte").unlink()
    (copy / "train-images-idx3-ubyte").symlink_to(copy / "t10k-images-idx3-ubyte")
    with pytest.raises(PipelineError, match="is 10000 x 28 x 28, not 60000 x 28 x 28"):
        preprocess(DEFAULT, copy)


def test_missing_file_is_named(copy: Path) -> None:
    (copy / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(PipelineError, match="train-labels-idx1-ubyte does not exist"):
        preprocess(DEFAULT, copy)


def test_stages_run_one_after_the_other(mnist_raw: Path, tmp_path: Path) -> None:
    lay_out(tmp_path)
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
        "MNIST_MIRROR": str(mnist_raw),
    }

    def stage(name: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "stages", name],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )

    early = stage("preprocess")
    assert early.returncode == 1
    assert early.stderr == (
        "error: data/raw/train-images-idx3-ubyte does not exist; `dvc repro download` makes it\n"
    )
    assert stage("download").returncode == 0
    names = sorted(path.name for path in (tmp_path / "data/raw").iterdir())
    assert names == sorted(path.name for path in mnist_raw.iterdir())
    assert stage("preprocess").returncode == 0
    written = sorted(path.name for path in (tmp_path / "data/processed").iterdir())
    assert written == [f"{name}.safetensors" for name in sorted(SPLITS)]
