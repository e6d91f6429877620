"""Which results a run shows: those of the weights in the workspace, trained there or not."""

import sys
from pathlib import Path

import pytest

from mnist_vae.tracking import environment
from tests.support import store_view
from tests.support.checkout import RESULTS
from tests.support.sandbox import Project
from tests.support.settings import SETTINGS, TINY

pytestmark = store_view.IN_OUR_PROCESS


def test_a_run_has_the_environment_that_its_weights_come_from(
    copied: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run,) = store_view.runs(copied.folder).values()
    assert run.tags["env.threads"] == "1"  # although it was trained without the live view
    monkeypatch.setenv("DVC_ROOT", str(copied.folder))
    machine = {"device": SETTINGS["device"], "threads": TINY["threads"]}
    environment.record(copied.folder / "models/vae.safetensors", machine, {"env.threads": "7"})

    copied.run("python", "-m", "stages", "track")

    (run,) = store_view.runs(copied.folder).values()
    assert run.tags["env.threads"] == "7"  # and not what a training that was killed left there


def test_make_repro_in_a_clone_ends_with_a_whole_run_though_every_byte_is_known(
    reproduced: Project, tmp_path: Path
) -> None:
    reproduced.git("clone", "--quiet", ".", str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone", reproduced.mirror)
    (clone.folder / ".venv").symlink_to(sys.prefix)

    output = clone.run("make", "--old-file=.venv/installed", "repro")
    assert "Running stage 'train'" in output
    assert clone.git("status", "--short") == ""  # all came out as in the committed dvc.lock
    assert output.count("test ELBO") == 1
    assert "vae ui` shows it" in output
    ours, theirs = (list(store_view.runs(one.folder).values()) for one in (clone, reproduced))
    assert [run.models.keys() for run in ours] == [run.models.keys() for run in theirs]
    assert len(ours) == 1

    again = clone.run("make", "--old-file=.venv/installed", "repro")
    assert "Running stage" not in again
    for said in (output, again):
        assert f"\nidentical: all {len(RESULTS)} outputs of the commit, byte for byte\n" in said
    assert [run.id for run in store_view.runs(clone.folder).values()] == [ours[0].id]
