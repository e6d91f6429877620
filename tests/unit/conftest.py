"""Hypothesis without deadlines: the first call of a torch function loads it. One thread: the tests
are small, and several workers may share the cores."""

import threading
from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

from tests.support.mirrors import Server

torch.set_num_threads(1)
settings.register_profile("pipeline", deadline=None)
settings.load_profile("pipeline")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.over.set()
        running.shutdown()
        thread.join()


@pytest.fixture
def threads() -> Iterator[None]:
    """torch's number of threads, for a test to set, is afterwards as it was."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
