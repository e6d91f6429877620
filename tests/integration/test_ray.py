"""A sweep on a Ray cluster of two nodes, of which one is lost."""

import os
from pathlib import Path

import pytest

from tests.support import remotes
from tests.support.sandbox import Project, wait_for

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own


def test_points_of_a_lost_node_are_done_by_the_other(reproduced: Project, tmp_path: Path) -> None:
    ray = pytest.importorskip("ray", reason="Ray is not installed: `uv pip install ray`")
    from ray.cluster_utils import Cluster

    lab = remotes.with_remotes(reproduced.copy(tmp_path / "project"), tmp_path)
    lab.environment |= {"MNIST_VAE_CHECKPOINT_SECONDS": "1"}
    points = tmp_path / "points"
    points.write_text(f"seed=1 epochs=40\nseed=2 epochs=40\n{remotes.DIVERGES}\nseed=3\n")
    lab.command("sweep", "new", "all", "--points", str(points))
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0"} | {
        name: lab.environment[name] for name in ("PATH", "PYTHONPATH", "MNIST_VAE_SCRATCH")
    }
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        second = cluster.add_node(num_cpus=1)
        command = ("python", "-m", "mnist_vae", "sweep", "submit", "all", "--ray", cluster.address)
        with lab.start(*command) as driver:
            for index in (0, 1):
                output = lab.folder / f"sweeps/all/{index}.log"
                wait_for(
                    lambda output=output: output.exists() and "epoch   5/" in output.read_text()
                )
            cluster.remove_node(second, allow_graceful=False)
            said = driver.communicate()[0]
        assert driver.returncode == 1, said
        assert "error: 1 point not done" in said
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert remotes.pushed(lab) == ["epochs-40_seed-1", "epochs-40_seed-2", "seed-3"]
    assert remotes.states(lab, "all") == {
        "epochs-40_seed-1": "done",
        "epochs-40_seed-2": "done",
        remotes.DIVERGENT: "failed",
        "seed-3": "done",
    }
