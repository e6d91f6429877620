"""Bring the experiment's MLflow run up to date and say what came out. No outputs."""

from pathlib import Path

from mnist_vae import params
from mnist_vae.errors import run
from mnist_vae.tracking.track import track


def main() -> None:
    params.check()
    print(track(Path()))


if __name__ == "__main__":
    run(main)
