"""The trained model as MLflow models: images -> reconstructions, and latent vectors -> images.

Both are saved by torch.export, without pickle, and run without this project's code.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from mnist_vae.images import PIXELS
from mnist_vae.tracking.store import Store

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel, Run

NAMES = ("vae", "decoder")
MD5 = "dvc.md5"


def of_run(store: Store, run_id: str) -> "list[LoggedModel]":
    """All models that a run has made, whole or not."""
    return list(
        store.client.search_logged_models([store.experiment_id], f"source_run_id = '{run_id}'")
    )


def log(store: Store, run: "Run", weights: Path, md5: str) -> "dict[str, LoggedModel]":
    """Log both models of a weights file and return them by name."""
    import mlflow
    import torch

    from mnist_vae.model import Decoder, load

    vae = load(weights)
    decoder = Decoder(vae).eval()
    requirements = [
        f"mlflow=={mlflow.__version__}",
        f"torch=={torch.__version__.split('+')[0]}",  # +cpu and the like are on no index
    ]
    logged = {}
    for name, module, size in zip(
        NAMES, (vae, decoder), (PIXELS, vae.params.latent_dim), strict=True
    ):
        with _logged_model(store, run, name, md5) as (entity, folder):
            _save(module, size, entity.model_id, run.info.run_id, requirements, folder)
        logged[name] = store.client.get_logged_model(entity.model_id)
    return logged


@contextmanager
def _logged_model(
    store: Store, run: "Run", name: str, md5: str
) -> "Iterator[tuple[LoggedModel, Path]]":
    """A model that is READY once its files, written to the folder, are all in the store."""
    from mlflow.entities import LoggedModelOutput

    entity = store.client.create_logged_model(
        store.experiment_id,
        name,
        source_run_id=run.info.run_id,
        tags={MD5: md5},
        params=run.data.params,
    )
    with TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        yield entity, folder
        store.client.log_model_artifacts(entity.model_id, str(folder))
    store.client.log_outputs(run.info.run_id, [LoggedModelOutput(entity.model_id, step=0)])
    store.client.finalize_logged_model(entity.model_id, "READY")


def _save(
    module: object, size: int, model_id: str, run_id: str, requirements: list[str], folder: Path
) -> None:
    import mlflow.pytorch
    import numpy as np
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

    inputs, outputs = (
        Schema([TensorSpec(np.dtype("float32"), (-1, width))]) for width in (size, PIXELS)
    )
    mlflow.pytorch.save_model(
        module,
        str(folder),
        mlflow_model=Model(model_id=model_id, run_id=run_id),
        signature=ModelSignature(inputs, outputs),
        # torch.export takes a batch of one for a constant
        input_example=np.zeros((2, size), np.float32),
        pip_requirements=requirements,
        serialization_format="pt2",
    )
