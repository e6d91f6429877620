"""A user's own images: a folder of PNG and JPEG files, or of IDX files, as grey images of one size.

Pillow makes them grey and resizes them with whole numbers only: the same bytes on every machine.
torchvision's transforms hand a picture to the same functions (tests/unit/test_own_images.py).
"""

import gzip
import io
import os
import sys
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

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
        _say(f"{folder}: {number:,} of its images {what}")
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
        images = np.stack([_picture(file, side, converted) for file in own])
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


def _picture(file: Path, side: int, converted: Counter[str]) -> Bytes:
    """The pixels (side^2,) of a PNG or JPEG file, whatever its size and colours."""
    try:
        if not file.stat().st_size:
            raise PipelineError(f"{file} is empty")
        with (
            warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning),
            Image.open(file, formats=("PNG", "JPEG")) as opened,
        ):
            # A JPEG's further pictures are previews and the like.
            if opened.format == "PNG" and getattr(opened, "is_animated", False):
                raise PipelineError(f"{file} is animated; make one picture of it")
            opened.load()
            grey = _grey(ImageOps.exif_transpose(opened), converted)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        most = Image.MAX_IMAGE_PIXELS or 0
        raise PipelineError(
            f"{file} is too large; a picture may have {most / 1e6:.0f} million pixels"
        ) from None
    except PipelineError:
        raise
    except UnidentifiedImageError:
        raise PipelineError(f"{file} is damaged, or neither PNG nor JPEG") from None
    except Exception as error:  # Pillow's decoders raise of every kind on damaged files
        detail = " ".join(str(error).split()) or type(error).__name__
        raise PipelineError(f"{file} cannot be read: {detail}") from None
    return _resized(grey, side, converted)


def _grey(picture: Image.Image, converted: Counter[str]) -> Image.Image:
    """8 bits of grey (ITU-R 601-2 luma), what is transparent on white."""
    if picture.mode.startswith("I"):
        converted["have 16 bits of grey: rounded to 8"] += 1
        wide = np.asarray(picture).astype(np.uint32)
        return Image.fromarray(((wide + 128) // 257).astype(np.uint8))
    if picture.has_transparency_data:
        converted["have an alpha channel: put on white, then made grey"] += 1
        above = picture.convert("RGBA")
        picture = Image.new("RGBA", picture.size, "white")
        picture.alpha_composite(above)
    elif picture.mode == "P":
        converted["have a palette: their colours made grey"] += 1
    elif picture.mode not in ("L", "1"):
        converted["are in colour: made grey"] += 1
    return picture.convert("L")


def _resized(picture: Image.Image, side: int, converted: Counter[str]) -> Bytes:
    if picture.size != (side, side):
        square = picture.width == picture.height
        also = "" if square else ", with another ratio of the sides"
        converted[f"have another size: resized to {side} x {side}{also}"] += 1
        picture = picture.resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(picture, np.uint8).reshape(-1)


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
        pixels = np.stack([_resized(Image.fromarray(image), side, converted) for image in stack])
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
