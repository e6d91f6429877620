"""Download the dataset: the network (or MNIST_MIRROR) -> data/raw, four uncompressed IDX files."""

import os
from pathlib import Path

from mnist_vae import download, params
from mnist_vae.errors import run

RAW = Path("data/raw")


def main() -> None:
    settings = params.load(download.DownloadParams)
    download.download(settings, RAW, mirror=os.environ.get("MNIST_MIRROR", ""))


if __name__ == "__main__":
    run(main)
