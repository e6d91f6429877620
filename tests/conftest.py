"""The real MNIST files, once for all tests and all workers of pytest-xdist."""

import os
from pathlib import Path

import pytest
from filelock import FileLock

from mnist_vae import download
from mnist_vae.errors import PipelineError
from tests.support.checkout import SHARED_MNIST


@pytest.fixture(scope="session")
def mnist_raw(pytestconfig: pytest.Config) -> Path:
    """A folder with the four uncompressed MNIST files; do not write into it."""
    folder = pytestconfig.cache.mkdir("mnist")
    mirror = os.environ.get("MNIST_MIRROR") or (str(SHARED_MNIST) if SHARED_MNIST.is_dir() else "")
    with FileLock(folder.with_suffix(".lock")):
        try:
            download.download(download.DownloadParams("mnist"), folder, mirror)
        except PipelineError as error:
            pytest.skip(f"MNIST is not to be had here: {error}")
    return folder
