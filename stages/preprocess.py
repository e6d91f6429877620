"""Parse, split and binarize: data/raw -> data/processed/{train,validation,test}.safetensors.

With `dataset: folder`, from the images in data_folder instead of data/raw.
"""

from pathlib import Path

from mnist_vae import own_images, preprocess
from mnist_vae.images import DIGITS
from mnist_vae.inputs import Inputs

RAW = Path("data/raw")
PROCESSED = Path("data/processed")


def main(inputs: Inputs) -> None:
    settings = inputs.load(preprocess.PreprocessParams)
    own = inputs.load(own_images.OwnParams)
    if own.dataset == "folder":
        splits, look = own_images.preprocess(settings, own)
    else:
        splits, look = preprocess.preprocess(settings, RAW), DIGITS
    inputs.check()
    preprocess.write(splits, PROCESSED, look)
