"""Adam (Kingma & Ba 2015) by torch's fused kernel, without the class around it.

torch.optim.Adam imports torch's compiler when it is first used. That takes as long as importing
torch itself, for every experiment, and nothing here is compiled.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor
from torch.optim.adam import adam

BETA1, EPSILON = 0.9, 1e-8


class Adam:
    """Moves groups of weights in place, each by a learning rate of its own.

    moments: all that changes beside the weights, by the weight's number and the moment's name.
    """

    def __init__(
        self, groups: Sequence[Sequence[Tensor]], rates: Sequence[Tensor], beta2: float
    ) -> None:
        """rates: of each group, a scalar on the weights' device, which the caller fills."""
        self._groups, self._rates, self._beta2 = groups, rates, beta2
        self.moments: dict[str, Tensor] = {}
        for number, weight in enumerate(weight for group in groups for weight in group):
            self.moments[f"{number}/exp_avg"] = torch.zeros_like(weight)
            self.moments[f"{number}/exp_avg_sq"] = torch.zeros_like(weight)
            self.moments[f"{number}/step"] = torch.zeros((), device=weight.device)

    def clear(self) -> None:
        """Forget the gradients."""
        for group in self._groups:
            for weight in group:
                weight.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """One step by the weights' gradients, which all of them must have."""
        first = 0
        for weights, rate in zip(self._groups, self._rates, strict=True):
            numbers = range(first, first + len(weights))
            first = numbers.stop
            averages, squares, steps = (
                [self.moments[f"{number}/{name}"] for number in numbers]
                for name in ("exp_avg", "exp_avg_sq", "step")
            )
            adam(
                list(weights),
                [cast(Tensor, weight.grad) for weight in weights],
                averages,
                squares,
                [],
                steps,
                fused=True,
                capturable=rate.device.type == "cuda",
                amsgrad=False,
                beta1=BETA1,
                beta2=self._beta2,
                lr=rate,
                weight_decay=0,
                eps=EPSILON,
                maximize=False,
            )
