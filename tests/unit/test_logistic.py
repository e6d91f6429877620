"""The logistic function: torch's own values, whatever the number of threads."""

import pytest
import torch

from mnist_vae import logistic

pytestmark = pytest.mark.usefixtures("threads")
SIZES = (1, 5, 784, 32768, 32769, 65537, 70001, 100 * 784, 128 * 784, 1000 * 784)


@pytest.mark.parametrize("size", SIZES)
def test_every_number_of_threads_gives_the_same_bytes(size: int) -> None:
    x = 4 * torch.randn(size, generator=torch.Generator().manual_seed(size))
    torch.set_num_threads(1)
    expected = torch.sigmoid(x)
    for threads in (1, 2, 3, 4, 5, 7, 8, 16):
        torch.set_num_threads(threads)
        assert torch.equal(logistic.sigmoid(x), expected)
        assert torch.equal(logistic.sigmoid_(x.clone()), expected)


def test_torch_itself_rounds_by_the_number_of_threads() -> None:
    """When this fails, `logistic` is needed no longer."""
    draws = torch.Generator().manual_seed(0)
    images = [4 * torch.randn(100 * 784, generator=draws) for _ in range(100)]
    torch.set_num_threads(1)
    expected = [torch.sigmoid(x) for x in images]
    torch.set_num_threads(3)
    assert all(map(torch.equal, map(logistic.sigmoid, images), expected))
    assert not all(map(torch.equal, map(torch.sigmoid, images), expected))


def test_it_keeps_the_shape_and_has_a_gradient() -> None:
    torch.set_num_threads(3)
    x = torch.randn(100, 784, generator=torch.Generator().manual_seed(0))
    x = x.double().requires_grad_()
    y = logistic.sigmoid(x)
    y.sum().backward()
    assert y.shape == x.shape
    torch.testing.assert_close(x.grad, (y * (1 - y)).detach())
