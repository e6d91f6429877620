"""What goes wrong with the MLflow store, in one line."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from mnist_vae.errors import PipelineError


class StoreError(PipelineError):
    """The MLflow store cannot be reached, opened or written."""


@contextmanager
def errors(uri: str) -> Iterator[None]:
    """Turn a fault of MLflow or its store into a StoreError of one line."""
    try:
        yield
    except Exception as error:
        if not _is_fault(error):
            raise
        lines = str(error).strip().splitlines() or [type(error).__name__]
        # SQLAlchemy writes where it was before what the database said: "(sqlite3.Error) ..."
        said = next((line for line in lines if re.match(r"\(\w+(\.\w+)+\) ", line)), lines[0])
        said = re.sub(r"//[^/@\s]*@", "//", said)  # user and password, in MLflow's own words
        raise StoreError(f"MLflow store {hide_password(uri)}: {said}") from error


def _is_fault(error: Exception) -> bool:
    """Is it the store's, and not a mistake of this code?"""
    from mlflow.exceptions import MlflowException
    from requests import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    return isinstance(
        error, MlflowException | RequestException | SQLAlchemyError | sqlite3.Error | OSError
    )


def hide_password(uri: str) -> str:
    """The URI without user and password."""
    parts = urlsplit(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if parts.netloc else uri
