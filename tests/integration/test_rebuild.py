"""`make rebuild` removes no run that an experiment has or will have, and goes on past faults."""

import json
import re
import shutil
import sqlite3
from pathlib import Path

from tests.support import store_view
from tests.support.checkout import PICTURES, outputs
from tests.support.planted import plant
from tests.support.sandbox import Project, wait_for
from tests.support.store_view import newest

pytestmark = store_view.IN_OUR_PROCESS


def test_rebuild_leaves_the_run_of_an_experiment_that_is_not_evaluated_yet(
    copied: Project,
) -> None:
    copied.dvc("exp", "run", "--temp", "-S", "seed=8", "train")
    wait_for(lambda: "dvc.results" not in newest(copied).tags)  # the live view may start late
    wait_for(lambda: newest(copied).status == "FINISHED")
    before = newest(copied)
    assert "removed" not in copied.command("rebuild")
    assert newest(copied) == before


def test_a_database_that_is_not_the_projects_own_keeps_what_other_clones_know(
    copied: Project, tmp_path: Path
) -> None:
    ours, theirs = copied, copied.copy(tmp_path / "theirs")
    for clone in (ours, theirs):
        clone.environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{tmp_path / 'team.db'}"
    theirs.dvc("exp", "run", "--name", "same-content")
    theirs.dvc("exp", "run", "--name", "another", "-S", "plot_dpi=60")
    theirs.command("rebuild")  # of the first one every stage was skipped, `track` as well
    before = store_view.runs(tmp_path, "team.db")
    assert len(before) == 2
    assert {run.tags["dvc.exp.name"] for run in before.values()} == {"same-content", "another"}

    said = ours.command("rebuild")

    assert "1 runs are of no experiment in this clone; --prune removes them" in said
    after = store_view.runs(tmp_path, "team.db")
    assert {run.tags["dvc.exp.name"] for run in after.values()} == {"same-content", "another"}
    assert "removed" in ours.command("rebuild", "--prune")
    (left,) = store_view.runs(tmp_path, "team.db").values()
    assert left.tags["dvc.exp.name"] == "same-content"


def test_what_no_experiment_has_goes_after_a_day(copied: Project) -> None:
    """Until then it may be on its way: an experiment's ref comes after its run."""
    copied.dvc("exp", "run", "--temp", "--name", "gone", "-S", "plot_dpi=61")
    copied.dvc("exp", "remove", "gone")
    copied.command("rebuild")
    assert len(store_view.runs(copied.folder)) == 2
    said = copied.command("rebuild")
    assert "1 runs are of no experiment in this clone; --prune removes them" in said
    with sqlite3.connect(copied.folder / "mlflow.db") as database:
        database.execute("UPDATE runs SET end_time = end_time - 25 * 3600 * 1000")
    database.close()
    assert "gone: removed, since no experiment has it" in copied.command("rebuild")
    (left,) = store_view.runs(copied.folder).values()
    assert "gone" not in left.name
    assert copied.command("rebuild") == "1 experiments, each with its run\n"


def test_what_was_left_running_is_killed_and_goes_after_a_day(copied: Project) -> None:
    copied.dvc("exp", "run", "--temp", "--name", "gone", "-S", "plot_dpi=61")
    copied.dvc("exp", "remove", "gone")
    with sqlite3.connect(copied.folder / "mlflow.db") as database:
        database.execute("UPDATE runs SET status = 'RUNNING', end_time = NULL")
    database.close()
    assert "gone: was left RUNNING, is KILLED" in copied.command("rebuild")
    assert len(store_view.runs(copied.folder)) == 2
    assert "gone: removed, since no experiment has it" in copied.command("rebuild", "--prune")
    assert len(store_view.runs(copied.folder)) == 1


def test_a_remote_that_cannot_be_used_is_named_and_the_rest_goes_on(copied: Project) -> None:
    copied.dvc("remote", "add", "--default", "cloud", "s3://bucket/folder")  # no plugin for it
    copied.commit("remote")
    (copied.folder / "mlflow.db").unlink()
    output = copied.command("rebuild")
    assert "Traceback" not in output
    (run,) = store_view.runs(copied.folder).values()
    assert set(outputs("plots", "report")) <= set(run.artifacts)  # from DVC's cache
    assert set(run.models) == {"vae", "decoder"}
    lock = (copied.folder / "dvc.lock").read_text()
    picture = PICTURES[0]
    md5 = re.search(rf"path: {picture}\n.*\n +md5: (\w+)", lock)
    assert md5
    cache = Path(copied.dvc("cache", "dir").strip()) / "files/md5"
    copied.dvc("config", "--local", "cache.dir", str(copied.folder / "own cache"))
    shutil.copytree(cache, copied.folder / "own cache/files/md5")
    (copied.folder / "own cache/files/md5" / md5[1][:2] / md5[1][2:]).unlink()
    (copied.folder / picture).unlink()
    (copied.folder / "mlflow.db").unlink()
    output = copied.command("rebuild")
    assert output.count("DVC's remote: ") == 1
    assert f"{picture} is gone from DVC's cache and remotes" in output
    assert "metrics/history.csv is gone" not in output
    assert "Traceback" not in output


def test_older_results_have_runs_if_they_are_asked_for(copied: Project) -> None:
    """A fresh store shows what stands at a tip; a run that is there stays, whatever is asked."""
    copied.set(plot_dpi=61)
    copied.dvc("repro")
    copied.commit("other pictures")
    assert copied.command("rebuild").endswith("2 experiments, each with its run\n")
    assert copied.command("rebuild", "--prune") == "2 experiments, each with its run\n"
    (copied.folder / "mlflow.db").unlink()

    said = copied.command("rebuild")
    assert "1 older results have no run: `vae rebuild --history` makes them" in said
    (tip,) = store_view.runs(copied.folder).values()
    assert tip.params["plot_dpi"] == "61"
    old = copied.git("rev-parse", "HEAD~1")
    said = copied.command("run-of", old, fails=True)
    assert "`vae rebuild --history` that of an older commit" in said
    assert copied.command("compare", old, "HEAD")  # which reads Git and DVC

    copied.git("tag", "published", old)
    told = json.loads(copied.command("rebuild", "--json"))
    assert [event["what"] for event in told] == ["added", "runs"]
    assert told[0]["run"].startswith("published ")
    copied.git("tag", "--delete", "published")
    before = store_view.runs(copied.folder)
    for options in ([], ["--prune"], ["--history"]):
        assert copied.command("rebuild", *options).endswith("2 experiments, each with its run\n")
    assert {run.id for run in store_view.runs(copied.folder).values()} == {
        run.id for run in before.values()
    }


def test_what_is_gone_is_told_in_one_line(copied: Project) -> None:
    (copied.folder / "mlflow.db").unlink()
    copied.dvc("config", "--local", "cache.dir", str(copied.folder / "empty cache"))
    shutil.rmtree(copied.folder / "plots")
    said = copied.command("rebuild").splitlines()
    gone = [line for line in said if "gone" in line]
    assert len(gone) == 1
    lost = {*outputs("plots"), "models/vae.safetensors", "report/report.html"}
    others = len(lost) - 2
    assert gone[0].endswith(f" and {others} more are gone from DVC's cache and remotes")
    (run,) = store_view.runs(copied.folder).values()
    assert set(run.tags["dvc.gone"].split(", ")) == lost


def test_what_rebuild_asks_of_git_does_not_grow_with_the_experiments(copied: Project) -> None:
    asked, trace = [], copied.folder / ".git/trace"
    for first, last in ((0, 2), (2, 7)):
        plant(copied, first, last)
        copied.command("rebuild")
        said = copied.command("rebuild", GIT_TRACE=str(trace))
        assert said == f"{last + 1} experiments, each with its run\n"
        asked.append(trace.read_text().count("trace: built-in: git"))
        trace.unlink()
    assert 0 < asked[0] == asked[1]
