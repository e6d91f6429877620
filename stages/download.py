"""Download the dataset: the network (or MNIST_MIRROR) -> data/raw, four uncompressed IDX files."""

import os
from pathlib import Path

from mnist_vae import download
from mnist_vae.inputs import Inputs

RAW = Path("data/raw")


def main(inputs: Inputs) -> None:
    settings = inputs.load(download.DownloadParams)
    # Each file is what its pinned SHA-256 says, whatever is edited meanwhile.
    download.download(settings, RAW, mirror=os.environ.get("MNIST_MIRROR", ""))
