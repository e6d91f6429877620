"""Parse, split and binarize: data/raw -> data/processed/{train,validation,test}.safetensors."""

from pathlib import Path

from mnist_vae import params, preprocess
from mnist_vae.errors import run

RAW = Path("data/raw")
PROCESSED = Path("data/processed")


def main() -> None:
    preprocess.preprocess(params.load(preprocess.PreprocessParams), RAW, PROCESSED)


if __name__ == "__main__":
    run(main)
