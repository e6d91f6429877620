"""Folders of a user's own images: what stands in them, and how they are read."""

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnist_vae import own_images
from mnist_vae.errors import PipelineError
from mnist_vae.own_images import OwnParams


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
