"""A saved view of the experiment in MLflow's UI: charts of the curves and pictures to compare.

The UI keeps saved views as tags of the experiment. The form is that of MLflow 3.17, whose UI adds a
chart of its own for every metric and picture that ours leave out.
"""

import json
from typing import Any

from mnist_vae.experiments.snapshot import PROTOCOLS

KEY = "curves-and-pictures"  # in the page's address
TAG, MARK = f"mlflow.sharedViewState.{KEY}", "dvc.wrote.view"
NAME = "Curves and pictures"
_CREATED = 1_767_225_600_000  # the UI wants a time, in milliseconds
_CURVES = {"ELBO": "elbo", "Rate (KL)": "rate", "Distortion": "distortion"}
_PICTURES = ("reconstructions", "prior_samples", "manifold", "latent", "latent_units", "training")
_SECTION = "ours"


def text() -> str:
    """The tag's value. Charts that no run has anything for are hidden."""
    state = {
        "compareRunCharts": [*_curves(), *(_picture(name) for name in _PICTURES)],
        "compareRunSections": [_section(_SECTION, NAME)],
        "hideEmptyCharts": True,
        "isAccordionReordered": True,  # ours first
    }
    envelope = {"name": NAME, "createdAt": _CREATED, "updatedAt": _CREATED}
    return json.dumps(envelope | {"state": json.dumps(state, separators=(",", ":"))})


def _curves() -> list[dict[str, Any]]:
    """Training and validation together, protocol by protocol."""
    return [
        {
            **_chart(f"{protocol}-{part}", "LINE"),
            "metricKey": f"{protocol}/train_{part}",
            "selectedMetricKeys": [
                f"{protocol}/{split}_{part}" for split in ("train", "validation")
            ],
            "displayName": f"{title}, nats per image ({protocol})",
            "xAxisKey": "step",
            "useGlobalXaxisKey": True,
            "useGlobalLineSmoothing": True,
        }
        for protocol in PROTOCOLS
        for title, part in _CURVES.items()
    ]


def _picture(name: str) -> dict[str, Any]:
    return {**_chart(name, "IMAGE"), "imageKeys": [name], "step": 0, "showRunParams": False}


def _chart(uuid: str, kind: str) -> dict[str, Any]:
    """What all charts have."""
    return {"uuid": uuid, "type": kind, "metricSectionId": _SECTION, "runsCountToCompare": 10} | {
        "deleted": False,
        "isGenerated": False,
    }


def _section(uuid: str, name: str) -> dict[str, Any]:
    shown = {"display": True, "isReordered": True, "deleted": False, "isGenerated": False}
    return {"uuid": uuid, "name": name, "columns": 2} | shown  # wide enough for pictures
