"""A lap of evaluation: the IWAE bound or the quadrature, or the matrix products inside it.

The network's weights are random: they do not change the work.
"""

from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from benchmarks import clock, data
from benchmarks.recipe import NETWORK
from mnist_vae import marginal, model, runtime
from mnist_vae import posterior as posteriors
from mnist_vae.images import PIXELS
from mnist_vae.linear import product

SAMPLES, EXTENT = 5000, 5.0
Products = list[tuple[Tensor, Tensor, int]]  # two matrices, and how often they are multiplied


def decoding(rows: int, device: str) -> Products:
    """Decode `rows` latent vectors, marginal.ROWS at a time."""
    sizes = (NETWORK.latent_dim, *NETWORK.hidden_sizes[::-1], PIXELS)
    most = marginal.ROWS[device]
    times, chunk = max(1, rows // most), min(rows, most)
    return [
        (torch.randn(chunk, n, device=device), torch.randn(m, n, device=device).t(), times)
        for n, m in pairwise(sizes)
    ]


def products(kind: str, images: int, points: int, device: str) -> Products:
    """All matrix products of the estimator `kind`."""
    if kind == "iwae":
        return decoding(images * SAMPLES, device)
    most = marginal.ROWS[device]
    codes = points**2 + len(marginal.surroundings(points, EXTENT)[0])
    chunk, rows = min(codes, most), min(images, most)
    times = max(1, codes // most) * max(1, images // most)
    dot = (torch.rand(rows, PIXELS, device=device), torch.randn(chunk, PIXELS, device=device).t())
    return [*decoding(codes, device), (*dot, times)]


def flop(work: Products) -> int:
    """Operations, a multiply-add being two."""
    return sum(2 * a.shape[0] * a.shape[1] * b.shape[1] * times for a, b, times in work)


def main() -> None:
    parser = clock.parser()
    parser.add_argument("--kind", choices=("iwae", "quadrature"), required=True)
    parser.add_argument("--points", type=int, default=0)
    parser.add_argument("--floor", action="store_true", help="the matrix products alone")
    parser.add_argument("--onednn", action="store_true", help="... by what `linear` calls")
    arguments = parser.parse_args()
    device = runtime.prepare(
        runtime.RuntimeParams(arguments.device, torch.get_num_threads(), arguments.arithmetic)
    )
    x = data.images(arguments.data, arguments.images).to(device)
    vae = model.VAE(NETWORK).to(device)
    posterior = posteriors.infer(vae, x)
    work = products(arguments.kind, len(x), arguments.points, arguments.device)
    count = float(flop(work))

    def multiply() -> None:
        for a, b, times in work:
            out = torch.empty(a.shape[0], b.shape[1], device=device)
            for _ in range(times):
                if arguments.onednn:
                    product(a, b.t())
                else:
                    torch.mm(a, b, out=out)

    def estimate() -> None:
        if arguments.kind == "iwae":
            marginal.iwae(vae, x, posterior.mean, posterior.log_variance, SAMPLES, 0)
        else:
            marginal.quadrature(vae, x, arguments.points, EXTENT)

    if not arguments.floor:
        work.clear()
    lap: Callable[[], None] = multiply if arguments.floor else estimate
    before = _reset_peak()
    clocked = clock.Clock()
    clocked.start()
    while True:
        lap()
        if device.type == "cuda":
            torch.cuda.synchronize()
        clocked.lap(flop=count, added=_memory("VmHWM") - before)


def _reset_peak() -> float:
    """Forget the most memory so far, which loading the images took; MiB of now."""
    with suppress(OSError):  # Linux alone has it
        Path("/proc/self/clear_refs").write_text("5")
    return _memory("VmRSS")


def _memory(entry: str) -> float:
    """VmRSS (now) or VmHWM (the most so far) of this process in MiB; 0 where there is no /proc.

    Not getrusage: on Linux that counts the memory of the process that started this one, too.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return 0.0
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(lines[entry].split()[0]) / 1024


if __name__ == "__main__":
    main()
