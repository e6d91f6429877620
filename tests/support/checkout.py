"""The checkout whose tests run: where it is, and what its dvc.yaml declares."""

import json
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
SHARED_MNIST = ROOT.parent / "shared/data/mnist"  # a mirror that a machine may have
SCHEMA = ROOT / "params.schema.json"
RULES: dict[str, Any] = json.loads(SCHEMA.read_text())["properties"]
PIPELINE: dict[str, Any] = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text())
STAGES = tuple(PIPELINE["stages"])


def outputs(*stages: str) -> list[str]:
    """What the stages declare that they write, all stages if none is named."""
    declared = [
        out
        for stage in stages or STAGES
        for kind in ("outs", "metrics", "plots")
        for out in PIPELINE["stages"][stage].get(kind, [])
    ]
    return [out if isinstance(out, str) else next(iter(out)) for out in declared]


# All that a run of the pipeline computes: track writes a note that it was done here.
RESULTS = outputs(*(stage for stage in STAGES if stage != "track"))
PICTURES = [path for path in RESULTS if path.endswith(".png")]
