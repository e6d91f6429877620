"""A network's two MLflow models without their weights: torch exports each network only once.

What torch.export makes depends on the network and not on its weights, and takes longer, with all
that it imports, than a small training. So it is kept in .dvc/tmp, and an experiment with the same
network only puts its weights in. The models are saved without pickle, and run without this
project's code.
"""

import hashlib
import json
import shutil
import struct
import uuid
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

import numpy as np

from mnist_vae.tracking.faults import StoreError

FOLDER = Path(".dvc/tmp/mlflow/exported")
CODE = Path(__file__).parents[1]
ARCHIVE = "data/model.pt2"  # in a model's folder
ALIGNMENT = 64  # bytes, as torch has it
NAMES = {"vae": "", "decoder": "decoder."}  # of the models, and where their weights' names begin


def of_network(root: Path, weights: Path, metadata: Mapping[str, str]) -> Path:
    """The folder with both models of the network that a weights file belongs to, weights empty.

    metadata: of that file; it says all of the network but the code.
    Raises StoreError if torch's archive is not made as we know it.
    """
    said = json.dumps(metadata, sort_keys=True)
    digest = hashlib.sha256(f"{said} {version('torch')} {version('mlflow')}".encode())
    for file in sorted(CODE.glob("*.py")):
        digest.update(file.read_bytes())
    kept = root / FOLDER / digest.hexdigest()[:32]
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=kept.parent) as temporary:
            made = Path(temporary) / "made"
            _export(weights, made)
            with suppress(OSError):  # another process was quicker
                made.rename(kept)
    return kept


def fill(
    network: Path, name: str, arrays: Mapping[str, np.ndarray], ids: tuple[str, str], folder: Path
) -> None:
    """Write one of the models with these weights as the model and of the run with these ids."""
    from mlflow.models import Model

    shutil.copytree(network / name, folder)
    _rewrite(network / name / ARCHIVE, folder / ARCHIVE, _records(name, arrays))
    described = Model.load(str(folder))
    described.model_id, described.run_id = ids
    described.model_uuid = uuid.uuid4().hex
    described.utc_time_created = str(datetime.now(UTC).replace(tzinfo=None))
    described.save(str(folder / "MLmodel"))


def _records(name: str, arrays: Mapping[str, np.ndarray]) -> dict[str, bytes]:
    """The weights of one of the models under the names that they have in it."""
    begin = NAMES[name]
    inside = "layers." if begin else ""  # of model.Decoder
    return {
        inside + weight.removeprefix(begin): array.tobytes()
        for weight, array in arrays.items()
        if weight.startswith(begin)
    }


def _export(weights: Path, folder: Path) -> None:
    import torch

    from mnist_vae.arrays import read_arrays
    from mnist_vae.model import Decoder, load

    vae = load(weights)
    arrays, _ = read_arrays(weights)
    for name, module, size in (
        ("vae", vae, vae.size),
        ("decoder", Decoder(vae).eval(), vae.params.latent_dim),
    ):
        _save(module, (size, vae.size), folder / name)
        archive = folder / name / ARCHIVE
        if _weights(archive) != _records(name, arrays):
            raise StoreError(f"torch {torch.__version__} exports models in a way unknown to us")
        bare = archive.with_suffix(".bare")
        _rewrite(archive, bare, dict.fromkeys(_records(name, arrays), b""))
        bare.replace(archive)


def _save(module: object, sizes: tuple[int, int], folder: Path) -> None:
    """sizes: of an input and an output."""
    import mlflow.pytorch
    import torch
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    inputs, outputs = (Schema([TensorSpec(np.dtype("float32"), (-1, size))]) for size in sizes)
    mlflow.pytorch.save_model(
        module,
        str(folder),
        signature=ModelSignature(inputs, outputs),
        # torch.export takes a batch of one for a constant
        input_example=np.zeros((2, sizes[0]), np.float32),
        pip_requirements=[
            f"mlflow=={mlflow.__version__}",
            f"torch=={torch.__version__.split('+')[0]}",  # +cpu and the like are on no index
        ],
        serialization_format="pt2",
    )


def _weights(archive: Path) -> dict[str, bytes]:
    """The weights in an exported program, by name."""
    with ZipFile(archive) as records:
        return {name: records.read(record) for record, name in _named(records).items()}


def _named(records: ZipFile) -> dict[str, str]:
    """Of the records that are weights: record -> name of the weight."""
    (config,) = (name for name in records.namelist() if name.endswith("_weights_config.json"))
    listed = json.loads(records.read(config))["config"]
    folder = config.rpartition("/")[0]
    return {f"{folder}/{entry['path_name']}": name for name, entry in listed.items()}


def _rewrite(archive: Path, target: Path, weights: Mapping[str, bytes]) -> None:
    """Copy an exported program with these weights in place of its own."""
    with ZipFile(archive) as old, ZipFile(target, "w") as new:
        named = _named(old)
        for record in old.infolist():
            name = named.get(record.filename)
            content = old.read(record) if name is None else weights[name]
            # Padding, as torch writes it, so that the content begins at a multiple of ALIGNMENT.
            begin = new.start_dir + 30 + len(record.filename.encode()) + 4
            padding = -begin % ALIGNMENT
            record.extra = struct.pack("<2sH", b"FB", padding) + b"Z" * padding
            new.writestr(record, content)
