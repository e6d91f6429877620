"""Maximise the ELBO (or the IWAE bound) with Adam, and leave a history of every epoch."""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mnist_vae import cuda_graph, elbo, runtime
from mnist_vae.checkpoint import Checkpoint, State
from mnist_vae.errors import PipelineError
from mnist_vae.history import Row as Row
from mnist_vae.model import VAE, StartParams
from mnist_vae.objective import ObjectiveParams, bound, importance_warmup, in_epoch, observe


@dataclass(frozen=True)
class TrainingParams(ObjectiveParams, StartParams):
    """Objective and optimisation."""

    epochs: int
    batch_size: int
    learning_rate: float
    input_lr_scale: float
    output_lr_scale: float
    schedule: str
    importance_lr_scale: float
    warmup_fraction: float
    adam_beta2: float
    ema_decay: float


DIVERGED = -1e5  # nats per image, at beta <= 1; coin flips for pixels have -543
EVERY = 10  # steps between two updates of the averaged weights


class Interrupted(PipelineError):
    """Training was asked to stop and has left a checkpoint."""


def fit(
    model: VAE,
    train: Tensor,
    validation: Tensor,
    params: TrainingParams,
    checkpoint: Checkpoint,
    on_step: Callable[[int], None],
    on_epoch: Callable[[list[Row]], None],
) -> list[Row]:
    """Train `model` in place, on the device that it is on, and return the history.

    train (N, 784): intensities in [0, 1]. validation (M, 784): observations, M may be 0.
    The weights that validation sees, and that `model` ends with, are the averaged ones.
    Training goes on from `checkpoint` if that holds a state, and ends with the same bytes as
    without the interruption. `on_step` gets the number of steps done, `on_epoch` the history.

    Raises PipelineError when the objective or validation's ELBO is out of all bounds (without
    validation images, that of some training images in the end), Interrupted when a signal asked to
    stop.
    """
    device = next(model.parameters()).device
    train, validation = train.to(device), validation.to(device)
    beta = torch.zeros((), device=device)
    scales, groups = _groups(model, params, device)
    optimizer = torch.optim.Adam(
        groups, betas=(0.9, params.adam_beta2), fused=True, capturable=device.type == "cuda"
    )
    batches = math.ceil(len(train) / params.batch_size)
    averaged = params.ema_decay > 0
    mean = copy.deepcopy(model).requires_grad_(False) if averaged else model
    models = {"model": model} | ({"mean": mean} if averaged else {})
    state = checkpoint.restore(models, optimizer) or State.at_epoch(0)
    history = state.history
    noise, pixels = (torch.Generator(device) for _ in range(2))
    now: ObjectiveParams = params  # of the epoch

    def step(batch: Tensor) -> Tensor:
        """Update the weights; sums of objective, rate and distortion over the batch (3,)."""
        seen, x = observe(train.index_select(0, batch), params, pixels)
        terms = bound(model, seen, x, now, beta, noise)
        optimizer.zero_grad(set_to_none=True)
        (-terms[0].mean()).backward()
        optimizer.step()
        return torch.stack([term.detach().sum(dtype=torch.float64) for term in terms])

    run: Callable[[Tensor], Tensor] = step
    on_step(state.epoch * batches + state.batch)

    for epoch in range(state.epoch, params.epochs):
        if epoch != state.epoch:
            state = State.at_epoch(epoch, history)
        runtime.reseed(noise, params.seed, f"noise/{epoch}")
        runtime.reseed(pixels, params.seed, f"pixels/{epoch}")
        state.restore_generators(noise, pixels)
        now = in_epoch(params, epoch)
        if device.type == "cuda" and (run is step or epoch == importance_warmup(params)):
            run = cuda_graph.Replayed(step, params.batch_size, (noise, pixels), device)
        for index, batch in _batches(len(train), epoch, state.batch, params, device):
            epochs = epoch + (index + 0.5) / batches
            lr = learning_rate(params, epochs)
            for group, scale in zip(optimizer.param_groups, scales, strict=True):
                group["lr"].fill_(lr * scale)
            beta.fill_(kl_weight(params, epochs))
            state.add(run(batch))
            done = epoch * batches + index + 1
            if averaged:
                last = done == params.epochs * batches
                average(mean, model, done, params.ema_decay, last)
            on_step(done)
            stop = checkpoint.stop_requested()  # asked once: what stops us is saved
            if stop or checkpoint.due():
                saved = checkpoint.save(models, optimizer, state, (noise, pixels))
                if stop:
                    where = "from here" if saved else "from an earlier checkpoint or starts over"
                    raise Interrupted(
                        f"stopped by {stop} in epoch {epoch + 1}; the next `dvc repro` or "
                        f"`dvc exp run` goes on {where}"
                    )
        row = _row(epoch, params, state.means(len(train)))
        _check("the objective", row["train_objective"], epoch, params)
        if len(validation):
            row |= _validate(mean, validation, params.seed)
            _check("validation's ELBO", row["validation_elbo"], epoch, params)
        history.append(row)
        on_epoch(history)
    if not len(validation):  # nothing has seen what the last step made of the weights
        train_elbo = _validate(mean, train[:1000], params.seed)["validation_elbo"]
        _check("training's ELBO", train_elbo, params.epochs - 1, params)
    model.load_state_dict(mean.state_dict())
    checkpoint.finish(models, optimizer, State.at_epoch(params.epochs, history), (noise, pixels))
    return history


def _groups(
    model: VAE, params: TrainingParams, device: torch.device
) -> tuple[list[float], list[dict[str, Any]]]:
    """Scales of the learning rate, and the weights that each is for, with a rate of their own."""
    scale_of = {id(weight): params.input_lr_scale for weight in model.input_layer()}
    scale_of |= {id(weight): params.output_lr_scale for weight in model.output_layer()}
    weights: dict[float, list[Tensor]] = {}  # as few groups as can be: each costs time in a step
    for weight in model.parameters():
        weights.setdefault(scale_of.get(id(weight), 1.0), []).append(weight)
    groups = [{"params": group, "lr": torch.zeros((), device=device)} for group in weights.values()]
    return list(weights), groups


def learning_rate(params: TrainingParams, epochs: float) -> float:
    """The rate after `epochs` epochs.

    one_cycle: up from 1/25 of the peak and down to 0, both as half a cosine (after Smith &
    Topin 2018, arXiv:1708.07120). With `importance_lr_scale` the epochs of one importance
    sample are that cycle, and those of all start again at so many times the peak (a warm restart,
    Loshchilov & Hutter 2017, arXiv:1608.03983).
    """
    first = importance_warmup(params)
    up, peak = params.warmup_fraction, params.learning_rate
    if not (first and params.importance_lr_scale):
        return _cycle(params.schedule, peak, up, epochs / params.epochs)
    if epochs < first:
        return _cycle(params.schedule, peak, up, epochs / first)
    done = (epochs - first) / (params.epochs - first)
    return _cycle(params.schedule, peak * params.importance_lr_scale, 0.0, done)


def _cycle(schedule: str, peak: float, up: float, done: float) -> float:
    """The rate after the fraction `done` of a cycle, the first `up` of which it rises in."""
    if schedule == "constant":
        return peak
    if done < up:
        return peak * (0.04 + 0.96 * (1 - math.cos(math.pi * done / up)) / 2)
    return peak * (1 + math.cos(math.pi * (done - up) / (1 - up))) / 2


@torch.no_grad()
def average(mean: VAE, model: VAE, step: int, decay: float, last: bool = False) -> None:
    """Move `mean` towards the weights of `model` after `step` steps, in place.

    An exponential moving average over about 1 / (1 - decay) steps, but no more than a tenth of the
    steps so far; for the first EVERY steps it is the weights themselves. Updated every EVERY steps
    and after the `last`, since a step's weights differ little from the next one's and the update
    takes as long as a tenth of a step.
    """
    if step > EVERY and step % EVERY and not last:
        return
    kept = 0.0 if step <= EVERY else min(decay**EVERY, step / (step + 10 * EVERY))
    torch._foreach_lerp_(list(mean.parameters()), list(model.parameters()), 1 - kept)


def kl_weight(params: TrainingParams, epochs: float) -> float:
    """beta after `epochs` epochs: linear warm-up from 0 (Bowman et al. 2016)."""
    if epochs >= params.kl_warmup_epochs:
        return params.beta
    return params.beta * epochs / params.kl_warmup_epochs


def _batches(
    images: int, epoch: int, first: int, params: TrainingParams, device: torch.device
) -> Iterator[tuple[int, Tensor]]:
    order = torch.randperm(images, generator=runtime.generator(params.seed, f"order/{epoch}"))
    batches = order.to(device).split(params.batch_size)
    return ((index, batches[index]) for index in range(first, len(batches)))


def _row(epoch: int, params: TrainingParams, means: list[float]) -> Row:
    objective, train_rate, distortion = means
    return {
        "epoch": epoch + 1,
        "beta": kl_weight(params, epoch + 0.5),
        "learning_rate": learning_rate(params, epoch + 0.5),
        "train_objective": objective,
        "train_elbo": -(train_rate + distortion),
        "train_rate": train_rate,
        "train_distortion": distortion,
    }


def _check(what: str, value: float, epoch: int, params: TrainingParams) -> None:
    if not DIVERGED * max(1.0, params.beta) < value < math.inf:  # or NaN
        raise PipelineError(
            f"training diverged in epoch {epoch + 1}: {what} is {value:.6g}; "
            "lower learning_rate or warm up for longer"
        )


@torch.no_grad()
def _validate(model: VAE, x: Tensor, seed: int, chunk: int = 1000) -> Row:
    noise = runtime.generator(seed, "validation", x.device)
    rate = distortion = 0.0
    for images in x.split(chunk):
        mean, log_variance = model.encode(images)
        draw = torch.randn(mean.shape, generator=noise, device=x.device)
        logits = model.decode(elbo.reparameterize(mean, log_variance, draw))
        distortion -= elbo.log_px_z(logits, images).sum(dtype=torch.float64).item()
        rate += elbo.kl_per_unit(mean, log_variance).sum(dtype=torch.float64).item()
    return {
        "validation_elbo": -(rate + distortion) / len(x),
        "validation_rate": rate / len(x),
        "validation_distortion": distortion / len(x),
    }
