"""The models in MLflow work in a fresh process, without this project's code and without pickle."""

import json
import os
import signal
import socket
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
import torch

from mnist_vae import model
from tests.support import store_view
from tests.support.sandbox import Project

pytestmark = store_view.IN_OUR_PROCESS
LOAD = """
import json, sys
import mlflow, numpy as np
outputs = []
for uri, inputs in zip(sys.argv[1::2], sys.argv[2::2]):
    loaded = mlflow.pyfunc.load_model(uri)
    x = np.array(json.loads(inputs), np.float32)
    outputs.append([np.asarray(loaded.predict(part)).tolist() for part in (x[:1], x)])
assert "mnist_vae" not in sys.modules
print(json.dumps(outputs))
"""


@pytest.fixture
def tracked(copied: Project) -> Project:
    """A project elsewhere that leaves no code of ours on the path."""
    copied.command("run-of")  # corrects the store's paths after the move
    copied.environment |= {
        "MLFLOW_TRACKING_URI": f"sqlite:///{copied.folder / 'mlflow.db'}",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    del copied.environment["PYTHONPATH"]
    return copied


@pytest.fixture
def vae(tracked: Project) -> model.VAE:
    return model.load(tracked.folder / "models/vae.safetensors")


def uri(project: Project, name: str) -> str:
    (run,) = store_view.runs(project.folder).values()
    return f"models:/{run.models[name][0]}"


@torch.no_grad()
def test_both_models_load_in_a_fresh_process(tracked: Project, vae: model.VAE) -> None:
    images, z = torch.rand(3, 784), torch.randn(3, 2)
    output = tracked.run(
        "python",
        "-W",
        "ignore",
        "-c",
        LOAD,
        uri(tracked, "vae"),
        json.dumps(images.tolist()),
        uri(tracked, "decoder"),
        json.dumps(z.tolist()),
    )
    reconstructed, decoded = json.loads(output.splitlines()[-1])
    for (one, three), expected in (
        (reconstructed, vae(images)),
        (decoded, torch.sigmoid(vae.decode(z))),
    ):
        np.testing.assert_allclose(one, expected[:1], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(three, expected, rtol=1e-4, atol=1e-6)


@torch.no_grad()
def test_a_served_model_reconstructs(tracked: Project, vae: model.VAE) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    images = torch.rand(2, 784)
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations",
        json.dumps({"inputs": images.tolist()}).encode(),
        {"Content-Type": "application/json"},
    )
    command = ("mlflow", "models", "serve", "--model-uri", uri(tracked, "vae"))
    with tracked.start(*command, "--env-manager", "local", "--port", str(port)) as server:
        try:
            end = time.monotonic() + 90
            while True:
                try:
                    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                        served = json.load(answer)["predictions"]
                    break
                except urllib.error.URLError:
                    assert time.monotonic() < end and server.poll() is None
                    time.sleep(0.5)
        finally:
            os.kill(server.pid, signal.SIGTERM)
    np.testing.assert_allclose(served, vae(images), rtol=1e-4, atol=1e-6)
