"""Training's progress: a bar with the time left on a terminal, one line per epoch elsewhere."""

import sys

from torch import nn
from tqdm import tqdm

from mnist_vae.history import Row
from mnist_vae.training import TrainingParams


class Bar:
    """Shows steps and epochs on standard error."""

    def __init__(self, model: nn.Module, images: int, params: TrainingParams, device: str) -> None:
        count = sum(weight.numel() for weight in model.parameters())
        print(f"training {count:,} parameters on {images:,} images: {device}", file=sys.stderr)
        self._epochs = params.epochs
        steps = -(-images // params.batch_size) * params.epochs
        self._bar = tqdm(total=steps, unit="step", disable=not sys.stderr.isatty(), leave=False)

    def step(self, done: int) -> None:
        """`done` steps of the whole training are done."""
        self._bar.update(done - self._bar.n)

    def epoch(self, row: Row) -> None:
        """Say what an epoch reached."""
        held_out = f"  validation {row['validation_elbo']:.2f}" if "validation_elbo" in row else ""
        self._bar.write(
            f"epoch {row['epoch']:>3}/{self._epochs}  ELBO train {row['train_elbo']:.2f}{held_out}"
            f"  rate {row['train_rate']:.2f}  distortion {row['train_distortion']:.2f} nats",
            file=sys.stderr,
        )
