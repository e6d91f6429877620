"""A sweep on a Ray cluster: each point a task with Ray's own retries and resources.

Optional (`uv pip install ray`). The nodes must see the project's folder, as with SLURM.
"""

import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from mnist_vae.errors import PipelineError
from mnist_vae.sweep import plan
from mnist_vae.sweep.plan import Sweep
from mnist_vae.sweep.work import STOPPED

RETRIES = 10  # of a task whose worker or node is lost, or that was stopped


def run(
    root: Path, sweep: Sweep, indices: Iterable[int], address: str, resources: Mapping[str, float]
) -> Iterator[tuple[int, int]]:
    """Do points on the cluster and yield (index, exit status of `work`) as they end.

    resources: num_cpus and num_gpus of a task, fractions too. Raises PipelineError if Ray is not
    installed or no cluster answers.
    """
    try:
        import ray
    except ImportError:
        raise PipelineError("Ray is not installed here: `uv pip install ray`") from None
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except ConnectionError as error:
        raise PipelineError(f"no Ray cluster answers at {address}: {error}") from None
    folder, name, python = plan.folder_of(root, sweep.name).resolve(), sweep.name, sys.executable
    folder.mkdir(parents=True, exist_ok=True)

    @ray.remote(max_retries=RETRIES, retry_exceptions=True, **resources)  # type: ignore[untyped-decorator]
    def task(index: int) -> int:
        command = [python, "-m", "mnist_vae", "sweep", "work", name, str(index)]
        with (folder / f"{index}.log").open("a") as log:
            status = subprocess.run(command, cwd=root, stdout=log, stderr=log).returncode
        if status == STOPPED:
            raise RuntimeError("stopped; it can go on")
        return status

    waiting = {task.remote(index): index for index in indices}
    while waiting:
        (ready,), _ = ray.wait(list(waiting))
        try:
            status = ray.get(ready)
        except ray.exceptions.RayError:  # its retries are used up
            status = STOPPED
        yield waiting.pop(ready), status
    ray.shutdown()
