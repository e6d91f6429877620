"""A model that learns: steps of Adam, and the average of the weights that they leave."""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from mnist_vae import runtime
from mnist_vae.adam import Adam
from mnist_vae.checkpoint import Parts
from mnist_vae.cuda_graph import Replayed
from mnist_vae.initialization import StartParams
from mnist_vae.model import VAE
from mnist_vae.objective import ObjectiveParams, bound, importance_warmup, in_epoch, observe

EVERY = 10  # steps between two updates of the averaged weights


@dataclass(frozen=True)
class LearnerParams(ObjectiveParams, StartParams):
    """What decides a step, beside learning rate and beta."""

    batch_size: int
    input_lr_scale: float
    output_lr_scale: float
    prior_lr_scale: float
    adam_beta2: float
    ema_decay: float


class Learner:
    """Trains `model` in place; `ema` is the averaged model, without an average the model itself.

    `parts` is all that changes: what a checkpoint holds.
    """

    def __init__(self, model: VAE, train: Tensor, params: LearnerParams) -> None:
        """train (N, 784): intensities in [0, 1], on the model's device."""
        self._model, self._train, self._params = model, train, params
        self._device = train.device
        self._beta = torch.zeros((), device=self._device)
        groups = _groups(model, params)
        self._rates = {scale: torch.zeros((), device=self._device) for scale in groups}
        self._adam = Adam(list(groups.values()), list(self._rates.values()), params.adam_beta2)
        self._noise, self._pixels = (torch.Generator(self._device) for _ in range(2))
        self._now: ObjectiveParams = params  # of the epoch
        self._graph: Replayed | None = None
        averaged = params.ema_decay > 0
        self.ema = copy.deepcopy(model).requires_grad_(False) if averaged else model
        models = {"model": model} | ({"ema": self.ema} if averaged else {})
        generators = {"noise": self._noise, "pixels": self._pixels}
        self.parts = Parts(models, self._adam.moments, generators)

    def begin_epoch(self, epoch: int, going_on: bool) -> None:
        """Draw what belongs to the epoch; `going_on` in the middle of it, from where that was."""
        if not going_on:
            for name, generator in self.parts.generators.items():
                runtime.reseed(generator, self._params.seed, f"{name}/{epoch}")
        self._now = in_epoch(self._params, epoch)
        another = self._graph is None or epoch == importance_warmup(self._params)
        if self._device.type == "cuda" and another:
            draws = (self._noise, self._pixels)
            self._graph = Replayed(self._update, self._params.batch_size, draws, self._device)

    def step(self, batch: Tensor, lr: float, beta: float) -> Tensor:
        """Learn from the images of these indices (B,).

        Returns the sums of objective, rate and distortion over them (3,).
        """
        for scale, rate in self._rates.items():
            rate.fill_(lr * scale)
        self._beta.fill_(beta)
        return (self._graph or self._update)(batch)

    def _update(self, batch: Tensor) -> Tensor:
        """What a CUDA graph replays: all that it reads stays in its place."""
        seen, x = observe(self._train.index_select(0, batch), self._now, self._pixels)
        terms = bound(self._model, seen, x, self._now, self._beta, self._noise)
        self._adam.clear()
        (-terms[0].mean()).backward()
        self._adam.step()
        return torch.stack([term.detach().sum(dtype=torch.float64) for term in terms])

    def average(self, step: int, last: bool) -> None:
        """Take the weights after `step` steps into the average, if there is one."""
        if self.ema is not self._model:
            average(self.ema, self._model, step, self._params.ema_decay, last)


@torch.no_grad()
def average(ema: VAE, model: VAE, step: int, decay: float, last: bool = False) -> None:
    """Move `ema` towards the weights of `model` after `step` steps, in place.

    An exponential moving average over about 1 / (1 - decay) steps, but no more than a tenth of the
    steps so far; for the first EVERY steps it is the weights themselves. Updated every EVERY steps
    and after the `last`, since a step's weights differ little from the next one's and the update
    takes as long as a tenth of a step.
    """
    if step > EVERY and step % EVERY and not last:
        return
    kept = 0.0 if step <= EVERY else min(decay**EVERY, step / (step + 10 * EVERY))
    torch._foreach_lerp_(list(ema.parameters()), list(model.parameters()), 1 - kept)


def _groups(model: VAE, params: LearnerParams) -> dict[float, list[Tensor]]:
    """Scales of the learning rate, and the weights that each is for."""
    scale_of = {id(weight): params.input_lr_scale for weight in model.input_layer()}
    scale_of |= {id(weight): params.output_lr_scale for weight in model.output_layer()}
    scale_of |= {id(weight): params.prior_lr_scale for weight in model.prior.parameters()}
    groups: dict[float, list[Tensor]] = {}  # as few as can be: each costs time in a step
    for weight in model.parameters():
        groups.setdefault(scale_of.get(id(weight), 1.0), []).append(weight)
    return groups
