"""Our use of torch's fused kernel is torch.optim.Adam, bit for bit, without torch's compiler."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mnist_vae.adam import Adam
from tests.support.checkout import ROOT


@pytest.mark.parametrize("beta2", [0.999, 0.9])
def test_it_is_torchs_adam(beta2: float) -> None:
    generator = torch.Generator().manual_seed(0)
    ours = [torch.randn(shape, generator=generator) for shape in [(30, 7), (30,), (7, 2)]]
    theirs = [weight.clone() for weight in ours]
    rates = torch.zeros(()), torch.zeros(())
    adam = Adam([ours[:2], ours[2:]], rates, beta2)
    groups = [{"params": theirs[:2], "lr": 0.0}, {"params": theirs[2:], "lr": 0.0}]
    reference = torch.optim.Adam(groups, betas=(0.9, beta2), fused=True)
    for step in range(5):
        for number, rate in enumerate(rates):
            rate.fill_(0.01 * (step + 1) / (number + 1))
            reference.param_groups[number]["lr"] = rate.item()
        for weight, other in zip(ours, theirs, strict=True):
            weight.grad = torch.randn(weight.shape, generator=generator)
            other.grad = weight.grad.clone()
        adam.step()
        reference.step()
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))
    for number, weight in enumerate(theirs):
        for name, moment in reference.state[weight].items():
            assert torch.equal(adam.moments[f"{number}/{name}"], moment), name
    adam.clear()
    assert all(weight.grad is None for weight in ours)


def test_training_imports_no_compiler(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from tests.support.fitting import PARAMS, fit
fit(PARAMS, Path(sys.argv[1]))
assert "torch" in sys.modules
assert not {"torch._dynamo", "torch._inductor"} & sys.modules.keys()
"""
    command = [sys.executable, "-c", script, "."]
    environment = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "MNIST_VAE_CHECKPOINT_SECONDS": "inf"}
    subprocess.run(command, check=True, cwd=tmp_path, env=environment)
