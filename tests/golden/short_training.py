"""A short, fixed training on real images; prints what it reached and on what machine.

After a change that is meant to change the numbers, record them again, in the project's root:

PYTHONPATH=src python -m tests.golden.short_training data/raw 1 >tests/golden/short_training.json
"""

import hashlib
import json
import platform
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

# ruff: noqa: E402
from mnist_vae import arithmetic

KIND = "native" if __name__ == "__main__" and sys.argv[3:] == ["native"] else "portable"
arithmetic.prepare(arithmetic.ArithmeticParams(KIND))  # before torch and numpy

import torch

from mnist_vae import initialization, model, preprocess, runtime, training
from mnist_vae.checkpoint import Checkpoint
from mnist_vae.images import SIDE
from tests.support import fitting

IMAGES = 2000  # for training, and as many for validation
PARAMS = replace(
    fitting.PARAMS,
    encoder_noise=0.25,
    output_bias="data_mean",
    batch_size=100,
    learning_rate=2e-3,
    ema_decay=0.9,
)


def environment() -> dict[str, str]:
    """What the last bits depend on."""
    kind = ("model name", "cpu family", "model", "stepping", "cache size")  # oneDNN looks at these
    cpu = [value for name in kind if (value := arithmetic.cpu(name))]
    return {
        "torch": torch.__version__,
        "machine": platform.machine(),
        "cpu": ", ".join(cpu) or platform.processor(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "threads": str(torch.get_num_threads()),
    }


def read_images(raw: Path) -> torch.Tensor:
    """The test set's intensities: float32 (10000, 784)."""
    shape = (preprocess.TEST_IMAGES, SIDE, SIDE)
    content = (raw / "t10k-images-idx3-ubyte").read_bytes()
    pixels = preprocess.parse_idx(content, shape, "t10k-images").reshape(shape[0], -1)
    return torch.from_numpy(pixels.copy()).to(torch.float32).div_(255)


def train(raw: Path, threads: int) -> dict[str, object]:
    """ELBO and rate of every epoch in nats per image, and a hash of the final weights."""
    device = runtime.prepare(runtime.RuntimeParams("cpu", threads, KIND))
    images = read_images(raw)
    network = model.ModelParams(2, (512, 512), "relu", "mlp", 0)
    vae = initialization.new(network, PARAMS, images[:IMAGES].mean(0))
    with tempfile.TemporaryDirectory() as folder:
        history = training.fit(
            vae.to(device),
            images[:IMAGES],
            images[IMAGES : 2 * IMAGES],
            PARAMS,
            Checkpoint(Path(folder) / "none.safetensors", seconds=1e9),
            lambda _: None,
            lambda _: None,
        )
    digest = hashlib.sha256()
    for tensor in vae.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    shown = ("train_elbo", "train_rate", "validation_elbo", "validation_rate")
    return {
        "environment": environment(),
        "nats": {name: [row[name] for row in history] for name in shown},
        "weights": digest.hexdigest(),
    }


if __name__ == "__main__":
    print(json.dumps(train(Path(sys.argv[1]), int(sys.argv[2])), indent=2))
