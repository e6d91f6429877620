"""The same network in Keras on TensorFlow, with `fit`; runs in .venv-benchmark.

A `train_step` of its own with the true ELBO, compiled to a graph by `compile`, as in Keras's own
VAE example.
"""

import os
from typing import Any

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

from benchmarks import clock


class VAE(keras.Model):  # type: ignore[misc]
    """784-512-512-2 and back, ReLU."""

    def __init__(self) -> None:
        super().__init__()
        dense = keras.layers.Dense
        x = keras.Input((784,))
        h = dense(512, activation="relu")(dense(512, activation="relu")(x))
        self.encoder = keras.Model(x, [dense(2)(h), dense(2)(h)])
        z = keras.Input((2,))
        h = dense(512, activation="relu")(dense(512, activation="relu")(z))
        self.decoder = keras.Model(z, dense(784, activation="sigmoid")(h))
        self.seeds = keras.random.SeedGenerator(0)
        self.loss_tracker = keras.metrics.Mean(name="loss")

    @property
    def metrics(self) -> list[Any]:
        return [self.loss_tracker]

    def train_step(self, x: Any) -> dict[str, Any]:
        with tf.GradientTape() as tape:
            mean, log_variance = self.encoder(x, training=True)
            noise = keras.random.normal(keras.ops.shape(mean), seed=self.seeds)
            z = mean + keras.ops.exp(0.5 * log_variance) * noise
            # Keras's cross-entropy is the mean over the pixels
            distortion = 784 * keras.losses.binary_crossentropy(x, self.decoder(z, training=True))
            squares = keras.ops.square(mean) + keras.ops.exp(log_variance)
            rate = 0.5 * keras.ops.sum(squares - 1 - log_variance, axis=-1)
            loss = keras.ops.mean(distortion + rate)
        gradients = tape.gradient(loss, self.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        self.loss_tracker.update_state(loss)
        return {"loss": self.loss_tracker.result()}


def main() -> None:
    arguments = clock.parser().parse_args()
    content = (arguments.data / "MNIST/raw/train-images-idx3-ubyte").read_bytes()
    pixels = np.frombuffer(content, np.uint8, offset=16).reshape(-1, 784)
    x = pixels[: arguments.images].astype("float32") / 255
    vae = VAE()
    vae.compile(optimizer=keras.optimizers.Adam(1e-3))
    laps = clock.Clock()

    laps.start()
    while True:  # not one long fit: its input pipeline stalls for as long as a callback waits
        done = vae.fit(x, epochs=1, batch_size=128, verbose=0)
        laps.lap(loss=done.history["loss"][0])


if __name__ == "__main__":
    main()
