"""Run one stage, as dvc.yaml does: `PYTHONPATH=src python -m stages train`.

What the stage depends on is noted before its code is imported, and compared when it has ended. How
it computes is settled before it loads torch and numpy.
"""

import sys
from importlib import import_module

from mnist_vae import arithmetic
from mnist_vae.errors import PipelineError, run
from mnist_vae.inputs import Inputs


def main() -> None:
    if len(sys.argv) != 2:
        raise PipelineError("name one stage, for example: python -m stages train")
    inputs = Inputs(sys.argv[1])
    if inputs.reads(arithmetic.ArithmeticParams):
        arithmetic.prepare(inputs.load(arithmetic.ArithmeticParams))
    stage = import_module(f"stages.{inputs.stage}")
    inputs.check_untouched()  # the code that runs is the code that was noted
    stage.main(inputs)
    inputs.check()


if __name__ == "__main__":
    run(main)
