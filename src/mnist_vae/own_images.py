"""A user's own images: a folder of PNG, JPEG or IDX files, as grey images of one size."""

import gzip
import io
import os
import sys
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from mnist_vae import picture
from mnist_vae.errors import PipelineError
from mnist_vae.images import Look
from mnist_vae.preprocess import (
    HELD_OUT_TEST,
    Arrays,
    Bytes,
    Pair,
    PreprocessParams,
    generator,
    parse_idx,
    split,
)

PICTURES = (".png", ".jpg", ".jpeg")
IDX = {"train": "train", "test": "t10k"}  # MNIST's names begin so
LEAST = 2  # images of training and of test; of fewer there is no standard error
MOST_CLASSES = 256  # labels are bytes
MOST_BYTES = 4 << 30  # of an unpacked IDX file


@dataclass(frozen=True)
class OwnParams:
    """Which images are read, and how; the keys that mean nothing to the downloaded sets."""

    dataset: str
    data_folder: str
    image_size: int
    test_images: int


@dataclass(frozen=True)
class Found:
    """What a folder holds; `test` is None if it has no test set of its own."""

    train: Pair
    test: Pair | None
    look: Look


def preprocess(params: PreprocessParams, own: OwnParams) -> tuple[Mapping[str, Arrays], Look]:
    """Read a folder and split it, as `preprocess.split`; also what its images look like.

    `index` counts the images in the order of their paths; those of a test set of its own from 0.
    Prints a line for each way in which images were converted. Raises PipelineError, one line, for
    what cannot be read, and where the numbers of images do not go together.
    """
    found = read(own)
    count = len(found.train[0])
    if found.test is not None and own.test_images:
        raise PipelineError(
            f"test_images is {own.test_images}; it must be 0, since {own.data_folder} has a test "
            "set of its own"
        )
    if found.test is None and not LEAST <= own.test_images <= count - LEAST:
        raise PipelineError(
            f"test_images is {own.test_images}; it must be from {LEAST} to {count - LEAST}, since "
            f"{own.data_folder} has {count:,} images and no test set of its own"
        )
    rest = count - (own.test_images if found.test is None else 0)
    if params.validation_images > rest - LEAST:
        raise PipelineError(
            f"validation_images is {params.validation_images}; it must be from 0 to "
            f"{rest - LEAST}, since {own.data_folder} has {rest:,} images for training"
        )
    if found.test is not None:
        if len(found.test[0]) < LEAST:
            raise PipelineError(f"{own.data_folder} has only one test image; it must have two")
        return split(params, found.train, found.test), found.look
    order = generator(params.split_seed, HELD_OUT_TEST).permutation(count)
    places = {"test": np.sort(order[: own.test_images]), "train": np.sort(order[own.test_images :])}
    places["validation"] = places["train"]
    splits = split(params, *(_taken(found.train, places[name]) for name in ("train", "test")))
    for name, arrays in splits.items():
        arrays["index"] = places[name][arrays["index"]].astype(np.int32)
    return splits, found.look


def read(own: OwnParams) -> Found:
    """All images of a folder, grey, `image_size` pixels along each side; PipelineError as above."""
    folder = Path(own.data_folder)
    files = sorted(_files(folder), key=lambda file: file.relative_to(folder).parts)
    pictures = [file for file in files if file.suffix.lower() in PICTURES]
    idx = [file for file in files if file.name.removesuffix(".gz").endswith("-ubyte")]
    if len(pictures) + len(idx) < len(files):
        other = min(set(files) - set(pictures) - set(idx))
        raise PipelineError(
            f"{other} is neither a PNG or JPEG file nor one of MNIST's IDX files; convert it, or "
            "move it out of data_folder"
        )
    if not files:
        raise PipelineError(f"data_folder is {folder}, and there are no images in it")
    if idx and pictures:
        raise PipelineError(f"{folder} holds pictures ({pictures[0].name}) beside IDX files")
    converted: Counter[str] = Counter()
    found = (
        _read_idx(folder, idx, own.image_size, converted)
        if idx
        else _read_pictures(folder, pictures, own.image_size, converted)
    )
    for what, number in sorted(converted.items()):
        _say(f"{folder}: {number:,} image{'s' * (number != 1)} {what}")
    return found


def _files(folder: Path) -> Iterator[Path]:
    """The files of a folder and its folders, but for hidden ones and READMEs."""
    if not folder.is_dir():
        raise PipelineError(f"data_folder is {folder}, and there is no such folder")
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not _ignored(name)]
        for name in [*folders, *names]:
            path = Path(place, name)
            if path.is_symlink():
                raise PipelineError(
                    f"{path} is a symbolic link; put what it leads to there: data_folder must hold "
                    "all that results are made from"
                )
        yield from (Path(place, name) for name in names if not _ignored(name))


def _ignored(name: str) -> bool:
    return name.startswith((".", "README", "__pycache__")) or name.endswith((".tmp", ".dvc"))


def _read_pictures(
    folder: Path, files: Sequence[Path], side: int, converted: Counter[str]
) -> Found:
    """PNG and JPEG files: in a folder for each class, or in none; in `train` and `test`, or not."""
    parts = {"train": folder}
    if {file.relative_to(folder).parts[0] for file in files} == {"train", "test"}:
        parts = {name: folder / name for name in ("train", "test")}
    classes: tuple[str, ...] = ()
    pairs: dict[str, Pair] = {}
    for name, base in parts.items():
        own = [file for file in files if file.is_relative_to(base)]
        names = [file.relative_to(base).parts[0] for file in own]
        loose = [file for file in own if file.parent == base]
        if loose and len(loose) < len(own):
            raise PipelineError(
                f"{loose[0]} stands beside folders; either every image is in a class's folder, or "
                "none is"
            )
        if name == "train":
            classes = () if loose else _classes(folder, names)
        elif other := sorted(set(names) - set(classes)) if classes else []:
            raise PipelineError(f"{base / other[0]}: {parts['train']} has no such class")
        images = np.stack([picture.read(file, side, converted) for file in own])
        number = {name: label for label, name in enumerate(classes)}
        labels = np.array([number[name] for name in names], np.uint8) if classes else None
        pairs[name] = images, labels
    return Found(pairs["train"], pairs.get("test"), Look(classes, ink=False))


def _classes(folder: Path, names: Sequence[str]) -> tuple[str, ...]:
    """The classes in the order of their names; none if there is only one."""
    counts = Counter(names)
    if len(counts) > MOST_CLASSES:
        raise PipelineError(
            f"{folder} has {len(counts):,} folders, and a class in each; it must have at most "
            f"{MOST_CLASSES}, or none"
        )
    if len(counts) == 1:
        _say(f"{folder}: all images are in the folder {names[0]}, so they have no classes")
        return ()
    for name in sorted(name for name, count in counts.items() if count == 1):
        _say(f"{folder}: class {name} has one image, so none to learn from or none to test")
    return tuple(sorted(counts))


def _read_idx(folder: Path, files: Sequence[Path], side: int, converted: Counter[str]) -> Found:
    """IDX files under MNIST's names, plain or .gz: with labels or without, with test or without."""
    there = {str(file.relative_to(folder)).removesuffix(".gz"): file for file in files}
    pairs: dict[str, Pair] = {}
    for part, prefix in IDX.items():
        images = there.pop(f"{prefix}-images-idx3-ubyte", None)
        labels = there.pop(f"{prefix}-labels-idx1-ubyte", None)
        if images:
            pairs[part] = _idx_pair(images, labels, side, converted)
        elif labels or part == "train":
            raise PipelineError(f"{folder} has no {prefix}-images-idx3-ubyte")
    if there:
        raise PipelineError(f"{next(iter(there.values()))} is none of MNIST's four IDX files")
    if len({labels is None for _, labels in pairs.values()}) > 1:
        raise PipelineError(f"{folder} has labels of one of its IDX files of images only")
    all_labels = [labels for _, labels in pairs.values() if labels is not None]
    largest = int(max(labels.max() for labels in all_labels)) if all_labels else 0
    classes = tuple(map(str, range(largest + 1))) if largest else ()
    if not largest:
        pairs = {part: (images, None) for part, (images, _) in pairs.items()}
    return Found(pairs["train"], pairs.get("test"), Look(classes, ink=True))


def _idx_pair(images: Path, labels: Path | None, side: int, converted: Counter[str]) -> Pair:
    stack = _idx(images, (None, None, None))
    if not stack.size:
        raise PipelineError(f"{images} holds no images")
    if stack.shape[1:] != (side, side):
        pixels = np.stack(
            [picture.resized(Image.fromarray(image), side, converted) for image in stack]
        )
    else:
        pixels = stack.reshape(len(stack), -1)
    return pixels, None if labels is None else _idx(labels, (len(stack),))


def _idx(file: Path, shape: Sequence[int | None]) -> Bytes:
    data = file.read_bytes()
    if file.suffix == ".gz":
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
                data = stream.read(MOST_BYTES + 1)
        except (EOFError, OSError, zlib.error):
            raise PipelineError(f"{file} is a damaged or truncated .gz") from None
        if len(data) > MOST_BYTES:
            raise PipelineError(f"{file} unpacks to more than {MOST_BYTES:,} bytes")
    return parse_idx(data, shape, str(file), "data_folder must hold whole files")


def _taken(pair: Pair, places: np.ndarray) -> Pair:
    images, labels = pair
    return images[places], None if labels is None else labels[places]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
