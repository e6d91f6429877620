"""The models in MLflow work in a fresh process, without this project's code and without pickle."""

import json
import os
import signal

import numpy as np
import pytest
import requests
import torch

from mnist_vae import model
from tests.support import store_view
from tests.support.checkout import ROOT
from tests.support.pages import commands
from tests.support.sandbox import Project, free_port, wait_for

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
def test_the_champion_is_served_as_readme_says(copied: Project) -> None:
    copied.command("champion", "--metric", "greyscale/validation_elbo")
    shown = [command.text for command in commands(ROOT / "README.md")]
    (serve,) = (line for line in shown if line.startswith("mlflow models serve"))
    (ask,) = (line for line in shown if line.startswith("python") and "/invocations" in line)
    port = str(free_port())
    copied.environment["MLFLOW_DISABLE_TELEMETRY"] = "true"
    with copied.start("bash", "-c", f"exec {serve}".replace("5001", port)) as server:
        try:
            wait_for(lambda: answers(port) or server.poll() is not None)
            assert server.poll() is None
            said = copied.run("bash", "-c", ask.replace("5001", port).replace("curl", "curl -s"))
            images = torch.rand(2, 784)
            two = requests.post(
                f"http://127.0.0.1:{port}/invocations", json={"inputs": images.tolist()}, timeout=30
            ).json()
        finally:
            os.kill(server.pid, signal.SIGTERM)
    vae = model.load(copied.folder / "models/vae.safetensors")
    for served, x in ((json.loads(said), torch.zeros(1, 784)), (two, images)):
        np.testing.assert_allclose(served["predictions"], vae(x), rtol=1e-4, atol=1e-6)


def answers(port: str) -> bool:
    try:
        return bool(requests.get(f"http://127.0.0.1:{port}/ping", timeout=30).ok)
    except requests.ConnectionError:
        return False
