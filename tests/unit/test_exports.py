"""A network is exported once; with weights put in, it is what torch exports of that model."""

import re
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import pytest
import torch
from mlflow.models import Model

from mnist_vae import initialization, model
from mnist_vae.arrays import read_arrays
from mnist_vae.model import VAE, ModelParams
from mnist_vae.tracking import exports
from tests.support.fitting import LEARNED, MLP

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*Any type hint is inferred:UserWarning"
)  # MLflow's
CONV = replace(MLP, architecture="conv", hidden_sizes=(4, 6, 8))


def saved(architecture: ModelParams, seed: int, path: Path) -> VAE:
    vae = VAE(architecture)
    initialization.initialize(vae, "torch", None, torch.Generator().manual_seed(seed))
    model.save(vae, path)
    return model.load(path)


def network(root: Path, weights: Path) -> Path:
    return exports.of_network(root, weights, read_arrays(weights)[1])


@pytest.mark.parametrize("architecture", [MLP, CONV, LEARNED], ids=["mlp", "conv", "prior"])
def test_it_is_torchs_export(tmp_path: Path, architecture: ModelParams) -> None:
    saved(architecture, 0, tmp_path / "first")
    made = network(tmp_path, tmp_path / "first")
    stamps = {file: file.stat().st_mtime_ns for file in made.rglob("*")}
    second = saved(architecture, 1, tmp_path / "second")
    assert network(tmp_path, tmp_path / "second") == made
    assert {file: file.stat().st_mtime_ns for file in made.rglob("*")} == stamps
    arrays, _ = read_arrays(tmp_path / "second")
    decoder = model.Decoder(second).eval()
    for name, module, size in (("vae", second, 784), ("decoder", decoder, 2)):
        folder = tmp_path / name
        exports.fill(made, name, arrays, ("m-1", "run-1"), folder)
        example = torch.zeros(2, size)
        rows = {0: torch.export.Dim.AUTO}
        torch.export.save(
            torch.export.export(module, (example,), dynamic_shapes=[rows]), tmp_path / "model.pt2"
        )
        assert contents(folder / exports.ARCHIVE) == contents(tmp_path / "model.pt2")
        x = torch.rand((3, size), generator=torch.Generator().manual_seed(0))
        loaded = torch.export.load(folder / exports.ARCHIVE).module()
        with torch.no_grad():
            assert torch.equal(loaded(x), module(x))
        described = Model.load(str(folder))
        assert (described.model_id, described.run_id) == ("m-1", "run-1")
        assert described.flavors["pytorch"]["pytorch_version"] == torch.__version__


def contents(archive: Path) -> dict[str, bytes]:
    """All records of an archive, less a hash of it and where in which file its graph was made.

    Each record begins where torch could map it.
    """
    found = {}
    with ZipFile(archive) as records:
        for record in records.infolist():
            header = archive.read_bytes()[record.header_offset :][:30]
            names = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:], "little")
            assert (record.header_offset + 30 + names) % exports.ALIGNMENT == 0
            name = record.filename.partition("/")[2]
            if not name.endswith("serialization_id"):
                found[name] = re.sub(rb'"stack_trace": "(\\.|[^"])*"', b"", records.read(record))
    return found


def test_another_network_is_exported_anew(tmp_path: Path) -> None:
    saved(MLP, 0, tmp_path / "two")
    saved(replace(MLP, latent_dim=3), 0, tmp_path / "three")
    assert network(tmp_path, tmp_path / "two") != network(tmp_path, tmp_path / "three")
    assert len(list((tmp_path / exports.FOLDER).iterdir())) == 2
