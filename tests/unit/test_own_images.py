"""A user's own images: what is read from which folder, and one line for each fault."""

import gzip
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
from mnist_vae.preprocess import PreprocessParams
from tests.support.own_images import grey, idx, own, refusal, save, stack

SPLIT = PreprocessParams(validation_images=2, split_seed=0, binarization_seed=0)
Capture = pytest.CaptureFixture[str]


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
        (RED, "a.png", 76, "in colour, made grey"),
        (RED, "a.jpg", 76, "in colour, made grey"),
        (RED.convert("CMYK"), "a.jpeg", 76, "in colour, made grey"),
        (RED.convert("P"), "a.png", 76, "with a palette, its colours made grey"),
        (HALF, "a.png", 127, "with transparent parts, put on white and made grey"),
        (DEEP, "a.png", 100, "with 16 bits of grey, rounded to 8"),
        (grey(7, (16, 16)), "a.png", 7, "of another size, resized to 8 x 8"),
        (grey(7, (16, 5)), "a.png", 7, "of another size, resized to 8 x 8, stretched to a square"),
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
    assert said == ([f"{tmp_path}: 2 images {says}"] if says else [])


def test_a_photograph_that_was_taken_sideways_is_turned(tmp_path: Path) -> None:
    pixels = stack(8, 8)
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation: the top is on the right
    save(Image.fromarray(pixels), tmp_path / "a.png", exif=exif)
    images, _ = own_images.read(own(tmp_path)).train
    np.testing.assert_array_equal(images[0].reshape(8, 8), np.rot90(pixels, -1))


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
    assert (
        "3 images of another size, resized to 8 x 8, stretched to a square"
        in capfd.readouterr().err
    )


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
