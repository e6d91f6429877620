"""Parse, split and binarize: data/raw -> data/processed/{train,validation,test}.safetensors."""

from pathlib import Path

from mnist_vae import preprocess
from mnist_vae.inputs import Inputs

RAW = Path("data/raw")
PROCESSED = Path("data/processed")


def main(inputs: Inputs) -> None:
    splits = preprocess.preprocess(inputs.load(preprocess.PreprocessParams), RAW)
    inputs.check()
    preprocess.write(splits, PROCESSED)
