"""The linear layer gives torch's own values and gradients."""

import pytest
import torch
from torch.nn import functional

from mnist_vae import linear
from mnist_vae.linear import Linear


@pytest.fixture(autouse=True, params=[True, False], ids=["oneDNN", "torch's own"])
def onednn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways, whichever this machine would take."""
    if request.param and not torch.backends.mkldnn.is_available():
        pytest.skip("this build of torch has no oneDNN")
    monkeypatch.setattr(linear, "ONEDNN", request.param)


@pytest.mark.parametrize("shape", [(5,), (3, 5), (4, 3, 5)])
def test_values_and_gradients_are_those_of_torch(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    layer, x = Linear(5, 7), torch.randn(shape, requires_grad=True)
    expected = functional.linear(x, layer.weight, layer.bias)
    result = layer(x)
    torch.testing.assert_close(result, expected)
    wanted = (x, layer.weight, layer.bias)
    upstream = torch.randn(expected.shape)
    for one, other in zip(
        torch.autograd.grad(result, wanted, upstream),
        torch.autograd.grad(expected, wanted, upstream),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def test_exported_it_is_the_standard_operation() -> None:
    program = torch.export.export(Linear(5, 7), (torch.zeros(2, 5),))
    called = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert called == {"aten.linear.default"}


def test_its_bits_repeat() -> None:
    torch.manual_seed(0)
    layer, x = Linear(784, 512), torch.rand(128, 784)
    first = layer(x)
    padded = torch.empty(128 * 784 + 1)[1:].view(128, 784).copy_(x)  # at another alignment
    assert torch.equal(layer(padded), first)
