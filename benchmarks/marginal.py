"""How near the estimators of log p(x) come to the machine's matmul rate.

    PYTHONPATH=src python -m benchmarks.marginal [--threads N] [--hidden 200 200] [--latent 50]

Times `marginal.iwae`, and `marginal.quadrature` for two latent units, in turn with bare matmuls of
the same number of operations: the decoder's layers without bias and activation on as many rows at a
time, and a square one of 2048. The best of several rounds counts, since other work disturbs.
"""

import argparse
import resource
import time
from collections.abc import Callable
from itertools import pairwise
from statistics import median

import torch

from mnist_vae import marginal, model, runtime
from mnist_vae.model import VAE, ModelParams


def seconds(work: Callable[[], object]) -> float:
    """Of one thread its own time: what other processes take does not count."""
    clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    work()
    return clock() - start


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--activation", default="relu")
    parser.add_argument("--hidden", type=int, nargs="+", default=[512, 512])
    parser.add_argument("--latent", type=int, default=2)
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    runtime.prepare(runtime.RuntimeParams("cpu", options.threads))
    torch.set_grad_enabled(False)

    vae = VAE(ModelParams(options.latent, tuple(options.hidden), options.activation, "mlp")).eval()
    model.initialize(vae, "lecun", None, torch.Generator().manual_seed(0))
    x = torch.rand(options.images, model.PIXELS).round()
    mean, log_variance = vae.encode(x)
    sizes = (options.latent, *options.hidden[::-1], model.PIXELS)
    weights = [torch.randn(shape) for shape in pairwise(sizes)]
    rows = marginal.ROWS["cpu"]
    inputs = torch.randn(rows, options.latent)
    square = torch.randn(2048, 2048)
    repeats = options.images * options.samples // rows
    images, points = 8192, 32
    digits = torch.rand(images, model.PIXELS)
    per_row = 2 * sum(one * other for one, other in pairwise(sizes))

    def layers() -> None:
        for _ in range(repeats):
            h = inputs
            for weight in weights:
                h = h @ weight

    def block() -> None:
        for _ in range(images * points**2 // rows**2):
            digits[:rows] @ square[:rows, : model.PIXELS].T

    works: dict[str, tuple[float, Callable[[], object]]] = {
        "2048 x 2048 matmul": (2 * 2048**3, lambda: square @ square),
        "decoder's matmuls": (per_row * rows * repeats, layers),
        f"IWAE-{options.samples}": (
            per_row * options.images * options.samples,
            lambda: marginal.iwae(vae, x, mean, log_variance, options.samples, 0),
        ),
    }
    if options.latent == 2:
        pixels = 2 * model.PIXELS * images * points**2
        works["quadrature's matmul"] = (pixels, block)
        works["quadrature"] = (
            pixels + per_row * points**2,
            lambda: marginal.quadrature(vae, digits, points, 5.0),
        )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rates: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(options.rounds):
        for name, (operations, work) in works.items():
            rates[name].append(operations / seconds(work) / 1e9)
    for name, measured in rates.items():
        matmuls = rates["quadrature's matmul" if "quadrature" in name else "decoder's matmuls"]
        ratio = median(one / other for one, other in zip(measured, matmuls, strict=True))
        print(f"{name:20} {median(measured):6.1f} GFLOP/s, {ratio:.2f} of the bare matmuls")
    added = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"memory above the model: {added / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
