"""The floor: an epoch's matrix products and nothing else, in the shapes that training has.

Each linear layer needs three: forward, gradient of the weights, gradient of the input. The first
layer's input is data and needs no gradient. 784-512-512-2 and back, 60,000 images: 431 GFLOP.
By torch.mm, which is MKL's on a CPU, or with --onednn by what `linear` calls. With --adam, Adam's
update of all weights after each step: PyTorch's own in one pass, which moves no more than it must.
"""

from collections.abc import Callable
from itertools import pairwise

import torch

from benchmarks import clock
from benchmarks.recipe import BATCH, NETWORK
from mnist_vae.images import PIXELS
from mnist_vae.linear import product
from mnist_vae.model import ModelParams


def layers(network: ModelParams) -> list[tuple[int, int]]:
    """(inputs, outputs) of every linear layer, from the image through z to the logits."""
    sizes = network.hidden_sizes
    encoder = pairwise((PIXELS, *sizes, 2 * network.latent_dim))
    decoder = pairwise((network.latent_dim, *sizes[::-1], PIXELS))
    return [*encoder, *decoder]


def flop(network: ModelParams, images: int) -> int:
    """Floating-point operations of one epoch's matrix products, a multiply-add being two."""
    weights = [inputs * outputs for inputs, outputs in layers(network)]
    return 2 * images * (3 * sum(weights) - weights[0])


def step(
    network: ModelParams, rows: int, device: str, onednn: bool, adam: bool = False
) -> Callable[[], None]:
    """One training step's matrix products on `rows` images, into buffers made beforehand."""
    work, weights = [], []
    for index, (inputs, outputs) in enumerate(layers(network)):
        x, dx = torch.randn(rows, inputs, device=device), torch.empty(rows, inputs, device=device)
        weight = torch.randn(outputs, inputs, device=device)
        y, dy = torch.empty(rows, outputs, device=device), torch.randn(rows, outputs, device=device)
        work.append((x, weight.t(), y))
        weights.append(weight)
        weight.grad = torch.empty_like(weight)
        work.append((dy.t(), x, weight.grad))
        if index:
            work.append((dy, weight, dx))

    # A step of 0: the weights stay finite, and as much is read and written as with any other.
    optimizer = torch.optim.Adam(weights, lr=0.0, fused=True) if adam else None

    def products() -> None:
        for a, b, out in work:
            torch.mm(a, b, out=out)
        if optimizer:
            optimizer.step()

    def by_onednn() -> None:
        for a, b, _ in work:
            product(a, b.t())
        if optimizer:
            optimizer.step()

    return by_onednn if onednn else products


def main() -> None:
    parser = clock.parser()
    parser.add_argument("--onednn", action="store_true")
    parser.add_argument("--adam", action="store_true")
    arguments = parser.parse_args()
    whole, rest = divmod(arguments.images, BATCH)
    how = arguments.device, arguments.onednn, arguments.adam
    full = step(NETWORK, BATCH, *how)
    last = step(NETWORK, rest, *how) if rest else None
    laps = clock.Clock()
    laps.start()
    with torch.no_grad():
        while True:
            for _ in range(whole):
                full()
            if last:
                last()
            if arguments.device != "cpu":
                torch.cuda.synchronize()
            laps.lap()


if __name__ == "__main__":
    main()
