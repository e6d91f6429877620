"""The splits as tensors, under one of three protocols.

greyscale, continuous_bernoulli: pixels are intensities in [0, 1], and stay so.
binarized: pixels are {0, 1}; the training images are redrawn for every use with the intensity as
probability, validation and test are the one draw that `preprocess` stored (Burda et al. 2015).
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mnist_vae.arrays import read_arrays
from mnist_vae.errors import PipelineError
from mnist_vae.images import Look, look

PROCESSED = Path("data/processed")


def load_intensities(split: str, folder: Path = PROCESSED) -> Tensor:
    """Images of a split, normalised to [0, 1]: float32 (N, 784)."""
    return torch.from_numpy(_array(split, "images", folder)).to(torch.float32).div_(255)


def load_observations(split: str, likelihood: str, folder: Path = PROCESSED) -> Tensor:
    """What the likelihood of a held-out split is measured on: float32 (N, 784)."""
    if likelihood == "binarized":
        return torch.from_numpy(_array(split, "binarized", folder)).to(torch.float32)
    return load_intensities(split, folder)


def load_labels(split: str, folder: Path = PROCESSED) -> np.ndarray:
    """Classes, counted from 0: uint8 (N,)."""
    return _array(split, "labels", folder)


def load_look(folder: Path = PROCESSED) -> Look:
    """The classes' names, none if there are no labels, and how pictures show the images."""
    return look(read_arrays(folder / "test.safetensors")[1])


def draw(intensities: Tensor, generator: torch.Generator) -> Tensor:
    """A fresh binarization: each pixel of (..., 784) is 1 with its intensity as probability."""
    uniform = torch.rand(intensities.shape, generator=generator, device=intensities.device)
    return (uniform < intensities).to(intensities.dtype)


def _array(split: str, name: str, folder: Path) -> np.ndarray:
    path = folder / f"{split}.safetensors"
    arrays, _ = read_arrays(path)
    if name not in arrays:
        raise PipelineError(f"{path} holds no {name}; run `dvc repro preprocess`")
    return arrays[name]
