"""The trained model as MLflow models: images -> reconstructions, and latent vectors -> images."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from mnist_vae.arrays import read_arrays
from mnist_vae.tracking import exports
from mnist_vae.tracking.store import Store

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel, Run

MD5 = "dvc.md5"


def of_run(store: Store, run_id: str) -> "list[LoggedModel]":
    """All models that a run has made, whole or not."""
    return list(
        store.client.search_logged_models([store.experiment_id], f"source_run_id = '{run_id}'")
    )


def of_all(store: Store) -> "list[LoggedModel]":
    """All models of the project's runs."""
    found: list[LoggedModel] = []
    token: str | None = None
    while token != "":
        page = store.client.search_logged_models([store.experiment_id], page_token=token)
        found += page
        token = page.token or ""
    return found


def log(store: Store, run: "Run", weights: Path, md5: str) -> "dict[str, LoggedModel]":
    """Log both models of a weights file and return them by name."""
    arrays, metadata = read_arrays(weights)
    network = exports.of_network(store.root, weights, metadata)
    logged = {}
    for name in exports.NAMES:
        with _logged_model(store, run, name, md5) as (entity, folder):
            exports.fill(network, name, arrays, (entity.model_id, run.info.run_id), folder)
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
