"""Our training loop, `training.fit` as the stage calls it, an epoch per lap."""

import math
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks import clock, data
from benchmarks.recipe import BATCH, NETWORK, PLAIN
from mnist_vae import checkpoint, initialization, params, progress, runtime, training
from mnist_vae.history import Row
from mnist_vae.tracking import live


def main() -> None:
    parser = clock.parser()
    parser.add_argument("--recipe", choices=("plain", "params.yaml"), required=True)
    parser.add_argument("--validation", type=int, default=0, help="images validated each epoch")
    parser.add_argument("--live", action="store_true", help="stream to MLflow")
    arguments = parser.parse_args()

    threads = torch.get_num_threads()  # all cores, as the others have
    device = runtime.prepare(runtime.RuntimeParams(arguments.device, threads, arguments.arithmetic))
    changes = (PLAIN if arguments.recipe == "plain" else {}) | {
        "epochs": clock.FOREVER,
        "batch_size": BATCH,
    }
    settings = replace(params.load(training.TrainingParams), **changes)  # type: ignore[arg-type]
    everything = data.images(arguments.data)
    images, validation = everything[: arguments.images], everything[: arguments.validation]
    vae = initialization.new(NETWORK, settings, images.mean(0)).to(device)

    laps = clock.Clock()
    bar = progress.Bar(vae, len(images), settings, runtime.describe(device))
    with TemporaryDirectory() as folder, ExitStack() as stack:
        # Waiting for the others would make every lap's checkpoint due; the stage's runs have them.
        saved = checkpoint.Checkpoint(Path(folder) / "checkpoint", math.inf)
        tracker = stack.enter_context(live.stream({})) if arguments.live else None

        def on_epoch(history: list[Row]) -> None:
            laps.lap()
            if tracker:  # after the pause, so that MLflow works during our own next lap
                tracker.send(history)

        laps.start()
        training.fit(vae, images, validation, settings, saved, bar.step, on_epoch)


if __name__ == "__main__":
    main()
