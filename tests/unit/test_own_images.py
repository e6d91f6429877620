"""A user's own images: what is read from which folder, and one line for each fault."""

import gzip
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from mnist_vae import own_images
from mnist_vae.errors import PipelineError
from mnist_vae.images import DIGITS, look, metadata
from mnist_vae.own_images import OwnParams
from mnist_vae.preprocess import PreprocessParams

SPLIT = PreprocessParams(validation_images=2, split_seed=0, binarization_seed=0)
Capture = pytest.CaptureFixture[str]


def own(folder: Path, size: int = 8, test: int = 0) -> OwnParams:
    return OwnParams("folder", str(folder), size, test)


def grey(value: int, size: tuple[int, int] = (8, 8)) -> Image.Image:
    return Image.new("L", size, value)


def save(picture: Image.Image, path: Path, **how: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, **how)
    return path


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


def stack(count: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, *shape), dtype=np.uint8)


def refusal(folder: Path, size: int = 8) -> str:
    with pytest.raises(PipelineError) as caught:
        own_images.read(own(folder, size))
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)
    return str(caught.value).replace(f"{folder}/", "").replace(str(folder), "IMAGES")


def test_classes_are_folders_in_the_order_of_their_names(tmp_path: Path, capfd: Capture) -> None:
    for name, values in {"dog": (1, 2), "Cat": (3, 4, 5), "ant": (6, 7)}.items():
        for value in values:
            save(grey(value), tmp_path / name / f"{value}.png")
    (tmp_path / "README.md").write_text("about them")
    (tmp_path / ".DS_Store").write_bytes(b"\0")
    found = own_images.read(own(tmp_path))
    assert found.look == own_images.Look(("Cat", "ant", "dog"), ink=False)
    assert found.test is None
    images, labels = found.train
    assert images.dtype == np.uint8
    assert images.shape == (7, 64)
    assert images[:, 0].tolist() == [3, 4, 5, 6, 7, 1, 2]
    assert labels is not None
    assert labels.tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert not capfd.readouterr().err  # nothing was converted


def test_without_folders_there_are_no_labels(tmp_path: Path, capfd: Capture) -> None:
    for value in (9, 10, 11):
        save(grey(value), tmp_path / f"{value}.PNG", format="PNG")
    found = own_images.read(own(tmp_path))
    assert found.train[1] is None
    assert found.look.classes == ()
    for value in (9, 10, 11):
        (tmp_path / "only").mkdir(exist_ok=True)
        (tmp_path / f"{value}.PNG").rename(tmp_path / f"only/{value}.PNG")
    one = own_images.read(own(tmp_path))
    assert one.train[1] is None
    np.testing.assert_array_equal(one.train[0], found.train[0])
    assert "all images are in the folder only, so they have no classes" in capfd.readouterr().err


def test_a_test_set_of_its_own(tmp_path: Path) -> None:
    for part, values in {"train": (1, 2, 3, 4, 5), "test": (6, 7)}.items():
        for value in values:
            save(grey(value), tmp_path / part / f"c{value % 2}" / f"{value}.png")
    found = own_images.read(own(tmp_path))
    assert found.test is not None
    assert found.train[0][:, 0].tolist() == [2, 4, 1, 3, 5]
    assert found.test[0][:, 0].tolist() == [6, 7]
    assert found.look.classes == ("c0", "c1")
    splits, _ = own_images.preprocess(SPLIT, own(tmp_path))
    assert [len(splits[name]["images"]) for name in ("train", "validation", "test")] == [3, 2, 2]
    with pytest.raises(PipelineError, match="test_images is 3; it must be 0, since"):
        own_images.preprocess(SPLIT, own(tmp_path, test=3))
    save(grey(8), tmp_path / "test/c9/8.png")
    assert refusal(tmp_path) == "test/c9: train has no such class"


@pytest.mark.parametrize("seed", [0, 1])
def test_the_splits_are_a_partition_and_know_where_each_image_was(
    tmp_path: Path, seed: int
) -> None:
    for value in range(20):
        save(grey(value), tmp_path / f"c{value % 2}" / f"{value:02}.png")
    everything = own_images.read(own(tmp_path)).train
    splits, _ = own_images.preprocess(PreprocessParams(4, seed, 0), own(tmp_path, test=5))
    sizes = {name: len(arrays["index"]) for name, arrays in splits.items()}
    assert sizes == {"train": 11, "validation": 4, "test": 5}
    index = np.concatenate([arrays["index"] for arrays in splits.values()])
    assert sorted(index) == list(range(20))
    for arrays in splits.values():
        assert arrays["index"].dtype == np.int32
        assert (np.diff(arrays["index"]) > 0).all()
        np.testing.assert_array_equal(arrays["images"], everything[0][arrays["index"]])
        assert everything[1] is not None
        np.testing.assert_array_equal(arrays["labels"], everything[1][arrays["index"]])
    other, _ = own_images.preprocess(PreprocessParams(4, 7, 0), own(tmp_path, test=5))
    assert (other["test"]["index"] != splits["test"]["index"]).any()
    again, _ = own_images.preprocess(PreprocessParams(9, seed, 0), own(tmp_path, test=5))
    np.testing.assert_array_equal(again["test"]["index"], splits["test"]["index"])


@pytest.mark.parametrize(
    ("test", "validation", "says"),
    [
        (0, 0, "test_images is 0; it must be from 2 to 8, since"),
        (1, 0, "test_images is 1; it must be from 2 to 8, since"),
        (9, 0, "has 10 images and no test set of its own"),
        (4, 5, "validation_images is 5; it must be from 0 to 4, since"),
    ],
)
def test_numbers_that_do_not_go_together(
    tmp_path: Path, test: int, validation: int, says: str
) -> None:
    for value in range(10):
        save(grey(value), tmp_path / f"{value}.png")
    with pytest.raises(PipelineError) as caught:
        own_images.preprocess(PreprocessParams(validation, 0, 0), own(tmp_path, test=test))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


RED = Image.new("RGB", (8, 8), (255, 0, 0))
HALF = Image.new("RGBA", (8, 8), (0, 0, 0, 128))
DEEP = Image.fromarray(np.full((8, 8), 257 * 100 + 128, np.uint16))


@pytest.mark.parametrize(
    ("picture", "name", "value", "says"),
    [
        (RED, "a.png", 76, "are in colour: made grey"),
        (RED, "a.jpg", 76, "are in colour: made grey"),
        (RED.convert("CMYK"), "a.jpeg", 76, "are in colour: made grey"),
        (RED.convert("P"), "a.png", 76, "have a palette: their colours made grey"),
        (HALF, "a.png", 127, "have an alpha channel: put on white, then made grey"),
        (DEEP, "a.png", 100, "have 16 bits of grey: rounded to 8"),
        (grey(7, (16, 16)), "a.png", 7, "have another size: resized to 8 x 8"),
        (
            grey(7, (16, 5)),
            "a.png",
            7,
            "have another size: resized to 8 x 8, with another ratio of the sides",
        ),
        (Image.new("1", (8, 8), 1), "a.png", 255, ""),
    ],
)
def test_what_is_converted_is_said_in_one_line(
    picture: Image.Image, name: str, value: int, says: str, tmp_path: Path, capfd: Capture
) -> None:
    save(picture, tmp_path / name)
    save(picture, tmp_path / f"b{name}")
    images, _ = own_images.read(own(tmp_path)).train
    assert np.abs(images.astype(int) - value).max() <= 2  # JPEG
    said = capfd.readouterr().err.splitlines()
    assert said == ([f"{tmp_path}: 2 of its images {says}"] if says else [])


def test_a_photograph_that_was_taken_sideways_is_turned(tmp_path: Path) -> None:
    pixels = stack(8, 8)
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation: the top is on the right
    save(Image.fromarray(pixels), tmp_path / "a.png", exif=exif)
    images, _ = own_images.read(own(tmp_path)).train
    np.testing.assert_array_equal(images[0].reshape(8, 8), np.rot90(pixels, -1))


def chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def bomb(side: int) -> bytes:
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    empty = chunk(b"IDAT", zlib.compress(b"\0"))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + empty + chunk(b"IEND", b"")


def png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


NOISE = png(Image.fromarray(stack(40, 40)))


def test_one_line_for_each_damaged_file(tmp_path: Path) -> None:
    for content, says in (
        (b"", "a.png is empty"),
        (b"no picture", "a.png is damaged, or neither PNG nor JPEG"),
        (NOISE[:9], "a.png is damaged, or neither PNG nor JPEG"),
        (NOISE[:700], "a.png cannot be read: "),
        (NOISE.replace(NOISE[100:110], bytes(10)), "a.png cannot be read: "),
        (bomb(10_000), "a.png is too large; a picture may have 89 million pixels"),
        (bomb(30_000), "a.png is too large; a picture may have 89 million pixels"),
        (bomb(9_000), "a.png cannot be read: "),
    ):
        (tmp_path / "a.png").write_bytes(content)
        assert refusal(tmp_path).startswith(says)
    frames = [Image.fromarray(stack(8 + i, 8)[:8]) for i in range(3)]
    save(frames[0], tmp_path / "a.png", save_all=True, append_images=frames[1:])
    assert refusal(tmp_path) == "a.png is animated; make one picture of it"
    frames[0].save(tmp_path / "a.png", format="GIF")
    assert refusal(tmp_path) == "a.png is damaged, or neither PNG nor JPEG"


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_damage_is_refused_in_one_line_or_harmless(tmp_path: Path, data: st.DataObject) -> None:
    damaged = bytearray(NOISE[: data.draw(st.integers(0, len(NOISE)))])
    for _ in range(data.draw(st.integers(0, 3)) if damaged else 0):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "a.png").write_bytes(damaged)
    try:
        assert own_images.read(own(tmp_path)).train[0].shape == (1, 64)
    except PipelineError as error:
        assert "\n" not in str(error)
        assert "a.png" in str(error)


def test_one_line_for_each_folder_that_cannot_be_read(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none") == "data_folder is IMAGES, and there is no such folder"
    assert refusal(tmp_path) == "data_folder is IMAGES, and there are no images in it"
    save(grey(1), tmp_path / "c0/a.png")
    save(grey(1), tmp_path / "b.png")
    assert refusal(tmp_path).startswith("b.png stands beside folders; either every image")
    (tmp_path / "b.png").rename(tmp_path / "b.gif")
    assert refusal(tmp_path).startswith("b.gif is neither a PNG or JPEG file nor one of MNIST's")
    (tmp_path / "b.gif").unlink()
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"")
    assert refusal(tmp_path) == "IMAGES holds pictures (a.png) beside IDX files"
    (tmp_path / "train-images-idx3-ubyte").unlink()
    for target in ("/etc/hostname", "c0/a.png", "/no/such/file", "/usr"):
        (tmp_path / "link.png").symlink_to(target)
        assert refusal(tmp_path).startswith("link.png is a symbolic link; put what it leads to")
        (tmp_path / "link.png").unlink()
    for number in range(257):
        save(grey(1), tmp_path / f"c{number}/a.png")
    assert "has 257 folders, and a class in each; it must have at most 256" in refusal(tmp_path)


def test_a_class_with_one_image_is_told(tmp_path: Path, capfd: Capture) -> None:
    for name in ("a/1.png", "a/2.png", "b/1.png"):
        save(grey(1), tmp_path / name)
    assert own_images.read(own(tmp_path)).look.classes == ("a", "b")
    said = capfd.readouterr().err.splitlines()
    assert said == [f"{tmp_path}: class b has one image, so none to learn from or none to test"]


def test_idx_files_of_any_size(tmp_path: Path, capfd: Capture) -> None:
    images, labels = stack(6, 8, 8), np.array([0, 1, 2, 2, 1, 0], np.uint8)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(images))
    found = own_images.read(own(tmp_path))
    assert (found.train[1], found.test, found.look.classes) == (None, None, ())
    np.testing.assert_array_equal(found.train[0], images.reshape(6, 64))
    assert not capfd.readouterr().err

    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels)))
    found = own_images.read(own(tmp_path))
    assert found.train[1] is not None
    assert found.train[1].tolist() == labels.tolist()
    assert found.look == own_images.Look(("0", "1", "2"), ink=True)

    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(stack(3, 12, 10)))
    assert refusal(tmp_path) == "IMAGES has labels of one of its IDX files of images only"
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(labels[:3]))
    found = own_images.read(own(tmp_path))
    assert found.test is not None
    assert found.test[0].shape == (3, 64)
    assert "3 of its images have another size: resized to 8 x 8" in capfd.readouterr().err


def test_one_line_for_each_damaged_idx_file(tmp_path: Path) -> None:
    name = "train-images-idx3-ubyte"
    whole = idx(stack(3, 8, 8))
    for content, says in (
        (b"", f"{name} is truncated: 0 bytes"),
        (whole[:-1], f"{name} is truncated: "),
        (whole + b"x", f"{name} has trailing bytes: "),
        (idx(stack(3, 8)), f"{name} has 2 dimensions, not 3; data_folder must hold whole files"),
        (idx(stack(0, 8, 8)), f"{name} holds no images"),
        (idx(stack(2, 0, 8)), f"{name} holds no images"),
        (b"\0\0\x0d\x03" + whole[4:], f"{name} holds elements of type 0x0d"),
    ):
        (tmp_path / name).write_bytes(content)
        assert refusal(tmp_path).startswith(says)
    (tmp_path / name).write_bytes(whole)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(stack(4)))
    assert refusal(tmp_path).startswith("train-labels-idx1-ubyte is 4, not 3; ")
    (tmp_path / "train-labels-idx1-ubyte").rename(tmp_path / "other-ubyte")
    assert refusal(tmp_path) == "other-ubyte is none of MNIST's four IDX files"
    (tmp_path / "other-ubyte").unlink()
    (tmp_path / name).rename(tmp_path / f"{name}.gz")
    assert refusal(tmp_path) == f"{name}.gz is a damaged or truncated .gz"
    (tmp_path / f"{name}.gz").rename(tmp_path / "t10k-images-idx3-ubyte")
    assert refusal(tmp_path) == "IMAGES has no train-images-idx3-ubyte"


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 40), st.integers(1, 40), st.integers(4, 40), st.sampled_from(["L", "RGB"]))
def test_torchvision_gives_the_same_bytes(
    tmp_path: Path, wide: int, high: int, size: int, mode: str
) -> None:
    shape = (high, wide, 3) if mode == "RGB" else (high, wide)
    for name in ("a/1.png", "b/1.png"):
        pixels = np.random.default_rng(len(name)).integers(0, 256, shape, dtype=np.uint8)
        save(Image.fromarray(pixels), tmp_path / name)
    transforms = v2.Compose([v2.Grayscale(), v2.Resize((size, size)), v2.PILToTensor()])
    theirs = ImageFolder(str(tmp_path), transforms, loader=Image.open)
    images, labels = own_images.read(own(tmp_path, size)).train
    assert labels is not None
    for position, (picture, label) in enumerate(theirs):
        np.testing.assert_array_equal(images[position].reshape(size, size), picture[0])
        assert labels[position] == label


def test_the_look_of_a_set_goes_through_a_file() -> None:
    assert metadata(DIGITS) == {}
    assert look({}) == DIGITS
    named = own_images.Look(("ä", "b"), ink=False)
    assert look(metadata(named)) == named
