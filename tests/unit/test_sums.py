"""Sums down the rows: torch's own values, with the same bytes on any number of threads."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mnist_vae import sums

ALL: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "rows": (sums.rows, lambda x: x.sum(0)),
    "mean": (sums.mean, lambda x: x.mean(0)),
    "logsumexp": (sums.logsumexp, lambda x: x.logsumexp(0)),
    "softmax": (sums.softmax, lambda x: x.softmax(0)),
}
THREADS = (1, 2, 3, 4, 5, 7, 8, 9, 16)
SHAPES = [(rows, columns) for rows in (1, 5, 50, 1100) for columns in (1, 20, 36, 39, 100, 128)]
SHAPES += [(50_000, 1), (50_000, 2)]
pytestmark = [
    pytest.mark.usefixtures("threads"),
    pytest.mark.skipif(
        torch.backends.cpu.get_cpu_capability() == "AVX512",
        reason="alike with AVX2, as portable arithmetic has it: tests/golden/test_threads",
    ),
]


def matrix(shape: tuple[int, int]) -> Tensor:
    return 4 * torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def depends_on_threads(compute: Callable[[Tensor], Tensor], x: Tensor) -> bool:
    results = []
    for count in THREADS:
        torch.set_num_threads(count)
        results.append(compute(x))
    return not all(torch.equal(result, results[0]) for result in results)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", ALL)
def test_every_number_of_threads_gives_the_same_bytes(name: str, shape: tuple[int, int]) -> None:
    ours, torchs = ALL[name]
    x = matrix(shape)
    assert not depends_on_threads(ours, x)
    torch.testing.assert_close(ours(x), torchs(x), atol=1e-4, rtol=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_torch_itself_rounds_by_the_number_of_threads(name: str) -> None:
    """When this fails, `sums` is needed no longer for that."""
    _, torchs = ALL[name]
    assert any(depends_on_threads(torchs, matrix((1100, columns))) for columns in range(20, 120))


@pytest.mark.parametrize("shape", [(5, 3), (5, 36)])
@pytest.mark.parametrize("name", ALL)
def test_the_gradient_is_torchs(name: str, shape: tuple[int, int]) -> None:
    x = matrix(shape).double().requires_grad_()
    weights = matrix(shape).double()
    ours, torchs = ((weights * of(x)).sum() for of in ALL[name])
    torch.testing.assert_close(torch.autograd.grad(ours, x), torch.autograd.grad(torchs, x))
