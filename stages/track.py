"""Bring the experiment's MLflow run up to date and say what came out.

The one output is a note that it was done: not in Git and not in DVC's cache, so that every clone
does it once, also one whose results are all there already.
"""

import os
import sys
from pathlib import Path

from mnist_vae.errors import PipelineError, Unreadable
from mnist_vae.files import write_text
from mnist_vae.inputs import Inputs
from mnist_vae.tracking.faults import StoreError
from mnist_vae.tracking.track import track

DONE = Path("metrics/.tracked")
SWITCH = "MNIST_VAE_TRACK"  # off: where there is no store; `rebuild` makes the run elsewhere


def main(inputs: Inputs) -> None:
    wanted = (os.environ.get(SWITCH) or "on").lower()
    if wanted not in ("on", "off"):
        raise PipelineError(f"{SWITCH} is {wanted!r}; it must be on or off")
    try:
        print(track(Path(), inputs.check) if wanted == "on" else f"no MLflow run: {SWITCH} is off")
    except (StoreError, Unreadable) as error:
        fault = f"{error}; once it works, `make rebuild` makes the run"
        if "DVC_EXP_NAME" not in os.environ:
            raise PipelineError(fault) from error
        print(f"warning: {fault}", file=sys.stderr)  # DVC drops an experiment if a stage fails
    inputs.check()
    write_text(DONE, f"{inputs.digest}\n")
