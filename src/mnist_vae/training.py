"""Maximise the ELBO (or the IWAE bound) with Adam, and leave a history of every epoch."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mnist_vae import elbo, runtime
from mnist_vae.checkpoint import Checkpoint, State
from mnist_vae.errors import PipelineError
from mnist_vae.history import Row
from mnist_vae.learner import Learner, LearnerParams
from mnist_vae.model import VAE
from mnist_vae.objective import importance_warmup


@dataclass(frozen=True)
class TrainingParams(LearnerParams):
    """Objective and optimisation."""

    epochs: int
    learning_rate: float
    schedule: str
    importance_lr_scale: float
    warmup_fraction: float


DIVERGED = -1e5  # nats per image, at beta <= 1; coin flips for pixels have -543


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
    learner = Learner(model, train, params)
    state = checkpoint.restore(learner.parts) or State.at_epoch(0)
    batches = math.ceil(len(train) / params.batch_size)
    on_step(state.epoch * batches + state.batch)
    for epoch in range(state.epoch, params.epochs):
        learner.begin_epoch(epoch, going_on=state.batch > 0)
        for batch in _batches(len(train), epoch, params, device)[state.batch :]:
            epochs = epoch + (state.batch + 0.5) / batches
            lr, beta = learning_rate(params, epochs), kl_weight(params, epochs)
            state.add(learner.step(batch, lr, beta))
            done = epoch * batches + state.batch
            learner.average(done, last=done == params.epochs * batches)
            on_step(done)
            _save_if_asked(checkpoint, learner, state)
        row = _row(epoch, params, state.means(len(train)))
        _check("the objective", row["train_objective"], epoch, params)
        if len(validation):
            row |= _validate(learner.ema, validation, params.seed)
            _check_few("validation's ELBO", row["validation_elbo"], epoch, params)
        state = State.at_epoch(epoch + 1, [*state.history, row])
        on_epoch(state.history)
    if not len(validation):  # nothing has seen what the last step made of the weights
        train_elbo = _validate(learner.ema, train[:1000], params.seed)["validation_elbo"]
        _check_few("training's ELBO", train_elbo, params.epochs - 1, params)
    model.load_state_dict(learner.ema.state_dict())
    checkpoint.finish(learner.parts, state)
    return state.history


def _save_if_asked(checkpoint: Checkpoint, learner: Learner, state: State) -> None:
    """Save when it is time, and when a signal asks to stop: that raises Interrupted."""
    stop = checkpoint.stop_requested()  # asked once: what stops us is saved
    if not (stop or checkpoint.due()):
        return
    saved = checkpoint.save(learner.parts, state)
    if stop:
        where = "from here" if saved else "from an earlier checkpoint or starts over"
        raise Interrupted(
            f"stopped by {stop} in epoch {state.epoch + 1}; the next `dvc repro` or "
            f"`dvc exp run` goes on {where}"
        )


def learning_rate(params: TrainingParams, epochs: float) -> float:
    """The learning rate after `epochs` epochs.

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
    """The learning rate after the fraction `done` of a cycle; it rises in the first `up` of it."""
    if schedule == "constant":
        return peak
    if done < up:
        return peak * (0.04 + 0.96 * (1 - math.cos(math.pi * done / up)) / 2)
    return peak * (1 + math.cos(math.pi * (done - up) / (1 - up))) / 2


def kl_weight(params: TrainingParams, epochs: float) -> float:
    """beta after `epochs` epochs: linear warm-up from 0 (Bowman et al. 2016)."""
    if epochs >= params.kl_warmup_epochs:
        return params.beta
    return params.beta * epochs / params.kl_warmup_epochs


def _batches(
    images: int, epoch: int, params: TrainingParams, device: torch.device
) -> Sequence[Tensor]:
    """Indices of the epoch's images, each image once, in the epoch's own order."""
    order = torch.randperm(images, generator=runtime.generator(params.seed, f"order/{epoch}"))
    batches: Sequence[Tensor] = order.to(device).split(params.batch_size)
    return batches


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


def _check_few(what: str, value: float, epoch: int, params: TrainingParams) -> None:
    """As `_check`, of few images: a density, unlike a probability, may end any one's likelihood."""
    density = params.likelihood == "continuous_bernoulli"
    _check(what, value, epoch, params, -math.inf if density else DIVERGED)


def _check(
    what: str, value: float, epoch: int, params: TrainingParams, least: float = DIVERGED
) -> None:
    if not least * max(1.0, params.beta) < value < math.inf:  # or NaN
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
        z = elbo.reparameterize(mean, log_variance, draw)
        log_px_z = model.pixels.log_px_z(model.decode(z), images)
        distortion -= log_px_z.sum(dtype=torch.float64).item()
        terms = model.prior.rate_terms(mean, log_variance, z)
        rate += terms.sum(dtype=torch.float64).item()
    return {
        "validation_elbo": -(rate + distortion) / len(x),
        "validation_rate": rate / len(x),
        "validation_distortion": distortion / len(x),
    }
