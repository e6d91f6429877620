"""Training's progress: a line per epoch; on a terminal also a bar with images/s and the time left.

Nothing here or elsewhere is coloured.
"""

import sys
from typing import NoReturn

from torch import nn
from tqdm import tqdm

from mnist_vae.history import Row
from mnist_vae.training import TrainingParams


class Bar:
    """Shows steps and epochs on standard error."""

    def __init__(self, model: nn.Module, images: int, params: TrainingParams, device: str) -> None:
        count = sum(weight.numel() for weight in model.parameters())
        print(f"training {count:,} parameters on {images:,} images: {device}", file=sys.stderr)
        self._epochs, self._images, self._batch = params.epochs, images, params.batch_size
        self._bar: tqdm[NoReturn] | None = None

    def step(self, done: int) -> None:
        """`done` steps of the whole training are done; the first call tells where it goes on."""
        epoch, step = divmod(done, -(-self._images // self._batch))
        images = epoch * self._images + min(step * self._batch, self._images)
        if self._bar is None:
            self._bar = tqdm(
                total=self._images * self._epochs,
                initial=images,  # which counts for no speed
                unit=" images",
                unit_scale=True,
                disable=not sys.stderr.isatty(),
                leave=False,
            )
        self._bar.update(images - self._bar.n)

    def epoch(self, row: Row) -> None:
        """Say what an epoch reached."""
        held_out = f"  validation {row['validation_elbo']:.2f}" if "validation_elbo" in row else ""
        tqdm.write(
            f"epoch {row['epoch']:>3}/{self._epochs}  ELBO train {row['train_elbo']:.2f}{held_out}"
            f"  rate {row['train_rate']:.2f}  distortion {row['train_distortion']:.2f} nats",
            file=sys.stderr,
        )
