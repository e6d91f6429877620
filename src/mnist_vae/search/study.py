"""Optuna: the next point of a space, and whether a trial is worth its end."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mnist_vae.errors import PipelineError
from mnist_vae.search.space import Choices, Range, Space
from mnist_vae.search.trials import METRICS, Trial

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

SAMPLERS = ("tpe", "gp", "random")
PRUNERS = ("none", "median")
_TRIES = 50  # points that the sampler may propose in vain


@dataclass(frozen=True)
class Method:
    """How points are chosen, one of SAMPLERS, and when a trial is stopped, one of PRUNERS.

    startup: so many trials are drawn at random before the sampler has a say. warmup: no trial is
    stopped in so many first epochs.
    """

    sampler: str
    pruner: str
    startup: int
    warmup: int


@dataclass(frozen=True)
class Proposal:
    """A point that has not been tried, and Optuna's trial of it."""

    values: Mapping[str, Any]
    _trial: "optuna.trial.Trial"

    def hopeless(self, epoch: int, value: float) -> bool:
        """Is the metric after an epoch so bad that the rest is not worth it?"""
        self._trial.report(value, epoch)
        return bool(self._trial.should_prune())


def load() -> None:
    """Raise PipelineError, one line, if Optuna is not installed."""
    try:
        import optuna
    except ImportError:
        raise PipelineError(
            "Optuna is not installed here: `uv pip install optuna`, or `make .venv/installed`"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def propose(space: Space, trials: Sequence[Trial], metric: str, method: Method) -> Proposal | None:
    """The point to try next, given the trials so far; None if none is left.

    The commit's own values come first. The same trials give the same point, in any clone.
    """
    import optuna

    study = optuna.create_study(
        direction=METRICS[metric],
        sampler=_sampler(method, len(trials)),
        pruner=_pruner(method),
    )
    domains = {key: _distribution(domain) for key, domain in space.varied.items()}
    states = optuna.trial.TrialState
    for trial in trials:
        study.add_trial(
            optuna.trial.create_trial(
                state={"done": states.COMPLETE, "pruned": states.PRUNED}.get(
                    trial.state, states.FAIL
                ),
                value=trial.value if trial.state == "done" else None,
                params={key: _inward(space.varied[key], v) for key, v in trial.values.items()},
                distributions=domains,
                intermediate_values=dict(trial.curve),
            )
        )
    known = {space.experiment(trial.values) for trial in trials}

    def new(values: Mapping[str, Any]) -> bool:
        return space.experiment(values) not in known and not space.refused(values)

    def given(values: Mapping[str, Any]) -> Proposal:
        study.enqueue_trial({key: _inward(space.varied[key], v) for key, v in values.items()})
        return Proposal(values, study.ask(domains))

    first = space.of(space.params({key: space.base[key] for key in space.varied}))
    if first and new(first):
        return given(first)
    for _ in range(_TRIES):
        asked = study.ask(domains)
        values = {key: _outward(space.varied[key], v) for key, v in asked.params.items()}
        if new(values):
            return Proposal(values, asked)
        study.tell(asked, state=states.FAIL)
    left = [values for values in space.points() or () if new(values)]
    return given(random.Random(len(trials)).choice(left)) if left else None  # noqa: S311


def _sampler(method: Method, seed: int) -> "optuna.samplers.BaseSampler":
    from optuna import samplers

    match method.sampler:
        case "tpe":
            return samplers.TPESampler(seed=seed, n_startup_trials=method.startup)
        case "gp":
            return samplers.GPSampler(seed=seed, n_startup_trials=method.startup)
    return samplers.RandomSampler(seed=seed)


def _pruner(method: Method) -> "optuna.pruners.BasePruner":
    from optuna import pruners

    if method.pruner == "none":
        return pruners.NopPruner()
    return pruners.MedianPruner(n_startup_trials=method.startup, n_warmup_steps=method.warmup + 1)


def _distribution(domain: Choices | Range) -> "BaseDistribution":
    """Choices by their number, since Optuna takes no list for one, and so the values of steps."""
    from optuna import distributions

    if isinstance(domain, Choices):
        return distributions.CategoricalDistribution(tuple(range(len(domain.values))))
    if domain.steps is not None:
        return distributions.IntDistribution(0, domain.steps)
    if domain.whole:
        return distributions.IntDistribution(int(domain.low), int(domain.high), domain.log)
    return distributions.FloatDistribution(domain.low, domain.high, domain.log)


def _inward(domain: Choices | Range, value: Any) -> Any:
    """A parameter's value for Optuna."""
    if isinstance(domain, Choices) or domain.steps is not None:
        return domain.index(value)
    return int(value) if domain.whole else float(value)


def _outward(domain: Choices | Range, value: Any) -> Any:
    """A parameter's value from Optuna."""
    if isinstance(domain, Choices):
        return domain.values[value]
    return domain.rounded(value) if domain.steps is None else domain.at(value)
