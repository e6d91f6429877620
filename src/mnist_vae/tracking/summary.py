"""The figures of metrics/evaluation.json by MLflow's flat names, and in one line for people."""

from collections.abc import Mapping
from typing import Any

from mnist_vae.experiments.snapshot import Snapshot


def headline(snapshot: Snapshot, metrics: Mapping[str, float]) -> str:
    """The test ELBO and its parts with standard errors, for people; empty without them."""
    found = []
    for name, part in (("test ELBO", "elbo"), ("rate", "rate"), ("distortion", "distortion")):
        key = f"{snapshot.protocol}/test_{part}"
        if key in metrics and f"{key}_se" in metrics:
            found.append(f"{name} {metrics[key]:.2f} ± {metrics[f'{key}_se']:.2f}")
    return f"{', '.join(found)} nats ({snapshot.protocol})" if found else ""


def warning(protocol: str, metrics: Mapping[str, float]) -> str:
    """What is wrong with a model that has learned nothing, for people; else empty."""
    if metrics.get(f"{protocol}/active_units") != 0:
        return ""
    return (
        "warning: no latent unit is active, so every image is decoded alike: it has collapsed, or "
        "has had too few steps (more epochs, smaller batches, a smaller beta)"
    )


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, float | str]:
    """Numbers and texts in nested objects, by names joined with slashes."""
    flat: dict[str, float | str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}/")
        elif isinstance(value, str):
            flat[f"{prefix}{name}"] = value
        elif isinstance(value, int | float):
            flat[f"{prefix}{name}"] = float(value)
    return flat
