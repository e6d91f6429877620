"""What is wrong with a user's own images is told in one line."""

import io
import struct
import zlib
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from mnist_vae import own_images
from mnist_vae.errors import PipelineError
from tests.support.own_images import grey, idx, own, refusal, save, stack


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
