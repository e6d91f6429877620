"""The parameters that tests run with, in place of those in the checkout's params.yaml."""

import shutil
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.support.checkout import ROOT

FILE = Path(__file__).with_name("settings.yaml")
TEXT = FILE.read_text()
SETTINGS: dict[str, Any] = YAML(typ="safe", pure=True).load(TEXT)
# What a whole pipeline has otherwise, to take seconds.
TINY: dict[str, Any] = {
    "batch_size": 100,
    "elbo_samples": 1,
    "epochs": 2,
    "hidden_sizes": [16],
    "manifold_size": 5,
    "plot_dpi": 50,
    "prior_samples": 16,
    "reconstructions": 2,
    "threads": 1,
    "validation_images": 59000,
}


def lay_out(folder: Path) -> None:
    """Put what every stage reads into a folder: dvc.yaml, packages, parameters and their schema."""
    for name in ("dvc.yaml", "packages.yaml", "params.schema.json"):
        shutil.copy(ROOT / name, folder)
    shutil.copyfile(FILE, folder / "params.yaml")
