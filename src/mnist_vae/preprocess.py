"""IDX files -> train, validation and test arrays: strict parsing, split, one binarization.

Intensities stay bytes (exact, a quarter of float32's size); `dataset` normalises them on loading.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mnist_vae.arrays import write_arrays
from mnist_vae.errors import PipelineError
from mnist_vae.images import DIGITS, PIXELS, SIDE, Look, metadata

Bytes = npt.NDArray[np.uint8]
Arrays = dict[str, npt.NDArray[np.generic]]
Pair = tuple[Bytes, Bytes | None]  # images (N, 784) and their labels (N,), if they have any

TRAIN_IMAGES, TEST_IMAGES = 60_000, 10_000
CLASSES = 10
REFETCH = "delete it and run `dvc repro`, which fetches it again"

_UNSIGNED_BYTE = 0x08  # IDX's code of the element type
# One random stream for each purpose: equal seeds don't correlate them, and one's size doesn't
# shift another.
_SPLIT, _BINARIZED_VALIDATION, _BINARIZED_TEST, HELD_OUT_TEST = range(4)


@dataclass(frozen=True)
class PreprocessParams:
    """The keys of params.yaml that decide the processed data."""

    validation_images: int
    split_seed: int
    binarization_seed: int


def preprocess(params: PreprocessParams, raw: Path) -> Mapping[str, Arrays]:
    """The arrays of train, validation and test, as `split` gives them, from the IDX files in `raw`.

    Raises PipelineError if a file is missing or isn't exactly what its name says.
    """
    train = _read_pair(raw, "train", TRAIN_IMAGES)
    test = _read_pair(raw, "t10k", TEST_IMAGES)
    return split(params, train, test)


def write(splits: Mapping[str, Arrays], processed: Path, look: Look = DIGITS) -> None:
    """Write {train,validation,test}.safetensors into `processed`."""
    for name, arrays in splits.items():
        write_arrays(processed / f"{name}.safetensors", arrays, metadata(look))


def split(params: PreprocessParams, train: Pair, test: Pair) -> Mapping[str, Arrays]:
    """Split (images (N, 784), labels (N,)) pairs into train, validation and test.

    Each split has `images` uint8 (N, 784) with intensities 0 to 255, `labels` uint8 (N,) if there
    are any, and `index` int32 (N,), the position in the original file, ascending. Validation and
    test also have `binarized` uint8 (N, 784) of 0 and 1: a Bernoulli draw with p = intensity / 255.
    """
    images, labels = train
    order = generator(params.split_seed, _SPLIT).permutation(len(images))
    held_out = np.sort(order[: params.validation_images])
    kept = np.sort(order[params.validation_images :])
    # Drawn for all, then picked: an image's draw doesn't depend on which others are held out.
    drawn = binarize(images, generator(params.binarization_seed, _BINARIZED_VALIDATION))
    drawn_test = binarize(test[0], generator(params.binarization_seed, _BINARIZED_TEST))
    return {
        "train": _take(images, labels, kept),
        "validation": _take(images, labels, held_out) | {"binarized": drawn[held_out]},
        "test": _take(*test, np.arange(len(test[0]))) | {"binarized": drawn_test},
    }


def binarize(images: Bytes, generator: np.random.Generator) -> Bytes:
    """Draw each pixel once as 0 or 1 with P(1) = intensity / 255, exactly: uint8, same shape."""
    noise = generator.integers(0, 255, images.shape, dtype=np.uint8)  # 0 to 254
    return (noise < images).astype(np.uint8)


def parse_idx(data: bytes, shape: Sequence[int | None], name: str, remedy: str = REFETCH) -> Bytes:
    """Parse an IDX file's bytes that must hold unsigned bytes of `shape`, and nothing else.

    A dimension that is None may have any size. Raises PipelineError, which calls the file `name`
    and ends with `remedy`, for anything missing, different or extra.
    """

    def damaged(what: str) -> PipelineError:
        return _damaged(name, what, remedy)

    if data[:2] == b"\x1f\x8b":
        raise damaged("is compressed; expected the plain IDX file")
    if len(data) >= 2 and data[:2] != b"\0\0":
        raise damaged(f"is no IDX file: it starts with {data[:2].hex(' ')}, not 00 00")
    header = 4 + 4 * len(shape)
    if len(data) < header:
        raise damaged(f"is truncated: {len(data)} bytes, the header alone has {header}")
    if data[2] != _UNSIGNED_BYTE:
        raise damaged(f"holds elements of type 0x{data[2]:02x}, not 0x08 (unsigned byte)")
    if data[3] != len(shape):
        raise damaged(f"has {data[3]} dimensions, not {len(shape)}")
    sizes = struct.unpack_from(f">{len(shape)}I", data, 4)
    if any(wanted not in (size, None) for size, wanted in zip(sizes, shape, strict=True)):
        raise damaged(f"is {_times(sizes)}, not {_times(shape)}")
    extra = len(data) - header - math.prod(sizes)
    if extra:
        what = "is truncated" if extra < 0 else "has trailing bytes"
        raise damaged(f"{what}: {len(data)} bytes, not {len(data) - extra}")
    return np.frombuffer(data, np.uint8, offset=header).reshape(sizes)


def _read_pair(raw: Path, prefix: str, count: int) -> tuple[Bytes, Bytes]:
    """Read the images (count, 784) and the labels (count,) of one part."""
    images = _read_idx(raw / f"{prefix}-images-idx3-ubyte", (count, SIDE, SIDE))
    path = raw / f"{prefix}-labels-idx1-ubyte"
    labels = _read_idx(path, (count,))
    if labels.max() >= CLASSES:
        raise _damaged(str(path), f"holds the label {labels.max()}; labels are 0 to {CLASSES - 1}")
    return images.reshape(count, PIXELS), labels


def _read_idx(path: Path, shape: tuple[int, ...]) -> Bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise PipelineError(f"{path} does not exist; `dvc repro download` makes it") from None
    return parse_idx(data, shape, str(path))


def _take(images: Bytes, labels: Bytes | None, index: npt.NDArray[np.int64]) -> Arrays:
    named = {} if labels is None else {"labels": labels[index]}
    return {"images": images[index], **named, "index": index.astype(np.int32)}


def generator(seed: int, stream: int) -> np.random.Generator:
    """Random numbers for one purpose."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, stream])))


def _times(sizes: Sequence[int | None]) -> str:
    return " x ".join("any" if size is None else str(size) for size in sizes)


def _damaged(name: str, what: str, remedy: str = REFETCH) -> PipelineError:
    return PipelineError(f"{name} {what}; {remedy}")
