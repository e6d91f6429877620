"""MNIST for the benchmarks, in the folder layout that torchvision reads as well."""

import os
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mnist_vae import download, preprocess
from mnist_vae.images import PIXELS, SIDE

FOLDER = Path(".benchmark").resolve()


@cache
def prepare() -> Path:
    """Download MNIST, or check what is there, and return the folder that holds MNIST/raw."""
    raw = FOLDER / "MNIST/raw"
    download.download(download.DownloadParams("mnist"), raw, os.environ.get("MNIST_MIRROR", ""))
    return FOLDER


def images(folder: Path, count: int = preprocess.TRAIN_IMAGES) -> Tensor:
    """The first `count` training images: float32 (count, 784) in [0, 1]."""
    name = "train-images-idx3-ubyte"
    parsed = preprocess.parse_idx(
        (folder / "MNIST/raw" / name).read_bytes(), (preprocess.TRAIN_IMAGES, SIDE, SIDE), name
    )
    return torch.from_numpy(parsed.reshape(-1, PIXELS)[:count].astype(np.float32) / 255)
