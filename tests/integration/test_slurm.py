"""A sweep on a real SLURM cluster of two nodes: jobs requeued, a node lost, a point that fails."""

from pathlib import Path

import pytest

from mnist_vae.experiments.outputs import md5
from tests.support import remotes, slurm, store_view
from tests.support.sandbox import Project, wait_for

pytestmark = [
    *store_view.IN_OUR_PROCESS,
    pytest.mark.skipif(bool(slurm.missing()), reason=slurm.missing() or "SLURM is here"),
]
LONG = 40  # epochs; the tests come in between


def test_a_sweep_survives_what_happens_on_a_cluster(reproduced: Project, tmp_path: Path) -> None:
    lab = remotes.with_remotes(reproduced.copy(tmp_path / "project"), tmp_path)
    lab.environment |= {"MNIST_VAE_CHECKPOINT_SECONDS": "1"}
    points = tmp_path / "points"
    points.write_text(
        f"seed=1 epochs={LONG}\nseed=2 epochs={LONG}\nseed=3\n{remotes.DIVERGES}\nlatent_dim=3\n"
    )
    lab.command("sweep", "new", "all", "--points", str(points))
    folder = lab.folder / "sweeps/all"
    with slurm.cluster(tmp_path / "slurm") as conf:
        lab.environment |= {"SLURM_CONF": conf}
        said = lab.command("sweep", "submit", "all", "--slurm", "--comment=a sweep")
        assert "5 points submitted as job" in said
        job = (folder / "jobs").read_text().split()[0]
        _until_epoch(folder, 0, 5)
        _until_epoch(folder, 1, 5)
        running = {
            line.split()[1]: line.split()[0]
            for line in lab.run("squeue", "-h", "-r", "-t", "R", "-o", "%K %N").splitlines()
        }
        assert set(running) == {"n1", "n2"}
        lab.run("scontrol", "requeue", f"{job}_{running['n1']}")
        slurm.lose(tmp_path / "slurm", conf, "n2")
        wait_for(lambda: "n2" not in lab.run("squeue", "-h", "-o", "%N"))
        slurm.back(conf, "n2")
        wait_for(lambda: _settled(lab), seconds=300)
        states = remotes.states(lab, "all")
        assert states == {
            f"epochs-{LONG}_seed-1": "done",
            f"epochs-{LONG}_seed-2": "done",
            "seed-3": "done",
            remotes.DIVERGENT: "failed",
            "latent_dim-3": "done",
        }
        for index in (0, 1):  # both went on, on whichever node
            assert "going on from the checkpoint" in (folder / f"{index}.log").read_text()
        assert "diverged" in lab.command("sweep", "status", "all")
        assert "nothing to submit" in lab.command("sweep", "submit", "all", "--slurm")
        assert "1 point submitted" in lab.command("sweep", "retry", "all")
        wait_for(lambda: (folder / "log").read_text().count("\tfailed\t") == 2)
        _cancelled_stays_away(lab)
    assert "unknown: `squeue" in lab.command("sweep", "status", "cancelled")
    said = lab.command("sweep", "collect", "all")
    assert "4 experiments pulled" in said
    runs = store_view.runs(lab.folder).values()
    assert sorted(str(run.tags.get("dvc.exp.name")) for run in runs) == sorted(
        ["None", *(name for name in states if name != remotes.DIVERGENT)]
    )
    assert {run.status for run in runs} == {"FINISHED"}
    # The requeued training has the bytes of an undisturbed one.
    commit = lab.git("ls-remote", "origin", f"refs/exps/*/epochs-{LONG}_seed-1").split()[0]
    lab.set(seed=1, epochs=LONG)
    lab.dvc("repro", "train", MNIST_VAE_LIVE="off")
    model = md5((lab.folder / "models/vae.safetensors").read_bytes())
    assert model in lab.git("show", f"{commit}:dvc.lock")


def _cancelled_stays_away(lab: Project) -> None:
    lab.command("sweep", "new", "cancelled", "-S", f"epochs={LONG + 1}")
    lab.command("sweep", "submit", "cancelled", "--slurm")
    folder = lab.folder / "sweeps/cancelled"
    _until_epoch(folder, 0, 1)
    lab.run("scancel", (folder / "jobs").read_text().split()[0])
    wait_for(lambda: "stopped" in (folder / "log").read_text())
    wait_for(lambda: not lab.run("squeue", "-h").strip())
    assert list(remotes.states(lab, "cancelled").values()) == ["stopped"]


def _until_epoch(folder: Path, index: int, epoch: int) -> None:
    output = folder / f"{index}.log"
    wait_for(lambda: output.exists() and f"epoch {epoch:>3}/" in output.read_text())


def _settled(lab: Project) -> bool:
    return not {"queued", "running"} & set(remotes.states(lab, "all").values())
