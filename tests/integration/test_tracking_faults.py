"""MLflow is never in the way of training, nothing stays RUNNING, and `track` fills every gap."""

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.support import store_view
from tests.support.checkout import outputs
from tests.support.sandbox import Project, wait_for
from tests.support.store_view import newest
from tests.support.trainings import TRAIN, held, wait_for_epoch, without_live_view

pytestmark = store_view.IN_OUR_PROCESS
LONG = {"epochs": 100_000, "schedule": "constant"}


def steps(project: Project) -> list[int]:
    """Epochs of the newest run; empty as long as there is none."""
    return [step for step, _, _ in newest(project).points.get("greyscale/train_elbo", [])]


def test_a_killed_training_leaves_nothing_running_and_goes_on_in_its_run(copied: Project) -> None:
    first = newest(copied).id
    copied.set(**LONG)
    with copied.start(*TRAIN) as training:
        wait_for_epoch(training, 2)
        with held(training):
            wait_for(lambda: newest(copied).id != first and steps(copied))
            assert newest(copied).status == "RUNNING"
            live = newest(copied).id
            training.kill()
    wait_for(lambda: newest(copied).status == "KILLED")

    with copied.start(*TRAIN) as training:
        wait_for_epoch(training, 2)
        with held(training):
            wait_for(lambda: newest(copied).status == "RUNNING")
            assert newest(copied).id == live
            training.send_signal(signal.SIGINT)
        training.communicate()
    wait_for(lambda: newest(copied).status == "KILLED")
    seen = steps(copied)
    assert len(seen) == len(set(seen))

    assert "removed" not in copied.command("rebuild")  # it can go on
    assert newest(copied).id == live
    assert "removed" in copied.command("rebuild", "--prune")
    assert [run.id for run in store_view.runs(copied.folder).values()] == [first]


def test_the_machines_load_is_logged_if_asked_for(copied: Project) -> None:
    first = newest(copied)
    assert not any(name.startswith("system/") for name in first.points)
    copied.set(**LONG)
    switches = {
        "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "true",
        "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL": "0.5",
    }
    with copied.start(*TRAIN, **switches) as training:
        wait_for_epoch(training, 2)
        with held(training):
            wait_for(lambda: "system/cpu_utilization_percentage" in newest(copied).points)
            training.kill()
    wait_for(lambda: newest(copied).status == "KILLED")
    run = newest(copied)
    assert run.id != first.id
    assert steps(copied)
    assert all(0 <= value <= 100 for _, value, _ in run.points["system/cpu_utilization_percentage"])
    assert all(value > 0 for _, value, _ in run.points["system/system_memory_usage_megabytes"])


def test_a_locked_database_is_one_warning_and_training_finishes(copied: Project) -> None:
    copied.set(epochs=10, schedule="constant")
    database = sqlite3.connect(copied.folder / "mlflow.db")
    database.execute("BEGIN EXCLUSIVE")
    with copied.start(*TRAIN) as process:
        output = wait_for_epoch(process, 2)
        with held(process) as training:
            wait_for(lambda: without_live_view(training))
        output += process.communicate()[0]
    assert process.returncode == 0
    database.rollback()
    database.close()
    assert output.count("warning: no live view in MLflow") == 1
    assert "locked" in output


def test_a_server_that_is_down_stops_track_at_once_and_track_adds_all(copied: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        uri = f"http://ada:secret@127.0.0.1:{free.getsockname()[1]}"
    copied.set(epochs=10, schedule="constant")
    output = copied.run("dvc", "repro", fails=True, MLFLOW_TRACKING_URI=uri)
    assert output.count("warning: no live view in MLflow") == 1
    assert "Connection refused" in output
    assert "secret" not in output
    assert "Traceback" not in output

    began = time.monotonic()
    output = copied.run("python", "-m", "stages", "track", fails=True, MLFLOW_TRACKING_URI=uri)
    assert time.monotonic() - began < 10
    assert len(output.splitlines()) == 1
    assert output.startswith("error: MLFLOW_TRACKING_URI http://127.0.0.1:")

    output = copied.dvc("repro")
    assert "test ELBO" in output
    assert "Running stage 'plots'" not in output
    assert newest(copied).status == "FINISHED"
    assert steps(copied) == list(range(1, 11))


@pytest.mark.parametrize("address", ["http://127.0.0.1:50O0", "http://[", "no HTTP"])
def test_an_address_that_is_none_is_one_line(copied: Project, address: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        if address == "no HTTP":
            address = f"http://127.0.0.1:{other.getsockname()[1]}"

            def answer() -> None:
                connection, _ = other.accept()
                with connection:
                    connection.recv(1000)
                    connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")

            threading.Thread(target=answer).start()
        output = copied.command("run-of", fails=True, MLFLOW_TRACKING_URI=address)
    assert output.startswith("error: MLFLOW_TRACKING_URI ")
    assert len(output.splitlines()) == 1


def test_what_a_person_writes_in_mlflow_stays(copied: Project) -> None:
    run = newest(copied)
    client = MlflowClient(f"sqlite:///{copied.folder / 'mlflow.db'}")
    client.set_tag(run.id, "mlflow.note.content", "for the paper")
    client.update_run(run.id, name="table 1")
    copied.command("rebuild")
    copied.run("python", "-m", "stages", "track")
    assert newest(copied).name == "table 1"
    assert newest(copied).tags["mlflow.note.content"] == "for the paper"


def test_track_leaves_one_run_with_the_files_values(copied: Project) -> None:
    terminal = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}  # it has no ±
    said = copied.run("python", "-m", "stages", "track", **terminal)
    assert "test ELBO" in said
    assert "Traceback" not in said
    before = newest(copied)
    client = MlflowClient(f"sqlite:///{copied.folder / 'mlflow.db'}")
    experiment = client.get_run(before.id).info.experiment_id
    tags = {name: before.tags[name] for name in ("dvc.key", "dvc.results")}
    client.create_run(experiment, tags=tags)
    copied.run("python", "-m", "stages", "track")
    assert newest(copied) == before  # `runs` fails if two share a content


@pytest.mark.parametrize("fault", ["no results", "no pictures", "no decoder", "two decoders"])
def test_a_half_made_run_is_made_anew_with_what_a_person_wrote(copied: Project, fault: str) -> None:
    copied.command("rebuild")  # corrects the store's paths after the move
    before = newest(copied)
    client = MlflowClient(f"sqlite:///{copied.folder / 'mlflow.db'}")
    client.set_tag(before.id, "mlflow.note.content", "for the paper")
    client.set_tag(before.id, "mine", "kept")
    if fault == "no results":
        client.delete_tag(before.id, "dvc.results")
    elif fault == "no pictures":
        (folder,) = copied.folder.glob(f"mlflow-artifacts/{before.id}/artifacts/plots")
        shutil.rmtree(folder)
    elif fault == "no decoder":
        client.delete_logged_model(before.models["decoder"][0])
    else:  # as another machine leaves it that wrote at the same moment
        experiment = client.get_run(before.id).info.experiment_id
        again = client.create_logged_model(experiment, "decoder", source_run_id=before.id)
        client.finalize_logged_model(again.model_id, "READY")
    assert "added all that it shows" in copied.command("rebuild")
    after = newest(copied)
    assert after.id != before.id
    assert after.tags.pop("mine") == "kept"
    assert after.tags["mlflow.note.content"] == "for the paper"
    after.tags["mlflow.note.content"] = before.tags["mlflow.note.content"]
    assert after.content() == before.content()
    assert copied.command("rebuild") == "1 experiments, each with its run\n"


def test_rebuild_tags_a_run_from_before_there_were_recipes(copied: Project) -> None:
    copied.command("rebuild")  # corrects the store's paths after the move
    before = newest(copied)
    assert before.tags["dvc.recipe"]
    client = MlflowClient(f"sqlite:///{copied.folder / 'mlflow.db'}")
    client.delete_tag(before.id, "dvc.recipe")
    copied.command("rebuild")
    assert newest(copied) == before


def test_training_does_not_wait_for_a_child_that_hangs(copied: Project) -> None:
    script = """
import os, signal, time
from mnist_vae.tracking import live
with live.stream({}) as tracker:
    os.kill(tracker._child.pid, signal.SIGSTOP)
    print(tracker._child.pid, flush=True)
    history, began = [], time.monotonic()
    for epoch in range(1, 3000):  # many more than the pipe holds
        history.append({"epoch": epoch, "train_elbo": -100.0, "beta": 1.0})
        tracker.send(history)
print(time.monotonic() - began)
"""
    copied.set(seed=7)
    pid, seconds = copied.run("python", "-c", script).split()
    os.kill(int(pid), signal.SIGKILL)
    assert float(seconds) < 2


def test_a_forced_run_with_other_results_replaces_its_run(copied: Project) -> None:
    before = newest(copied)
    committed = copied.git("show", "HEAD:metrics/history.csv")
    lock = copied.folder / "dvc.lock"
    replaced = []
    for results in ("\n1,0", "\n1,00"):
        text = lock.read_text()
        (copied.folder / "metrics/history.csv").unlink()
        (copied.folder / "metrics/history.csv").write_text(committed.replace("\n1,", results))
        copied.dvc("commit", "--force", "train")
        assert lock.read_text() != text
        copied.dvc("repro")
        found = {run.id for run in store_view.runs(copied.folder).values()}
        assert before.id in found  # the commit's
        replaced += found - {before.id}
    assert len(replaced) == len(set(replaced)) == 2  # the first gave way to the second
    assert replaced[0] not in found

    copied.git("checkout", "dvc.lock", "metrics/history.csv")
    copied.command("rebuild", "--prune")
    assert [run.id for run in store_view.runs(copied.folder).values()] == [before.id]


def test_a_full_disk_is_one_warning_and_track_fills_the_gap(
    copied: Project, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs to mount a small file system, as root")
    try:
        copied.environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{disk / 'mlflow.db'}"
        copied.command("rebuild")
        copied.set(epochs=40, schedule="constant")
        with copied.start("dvc", "repro", "train") as process:
            output = wait_for_epoch(process, 2)
            with held(process):
                wait_for(lambda: len(store_view.runs(disk)) == 2)
                with suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
                    while filler.write(bytes(4096)):
                        pass
            output += wait_for_epoch(process, 20)  # by then some have come that find no room
            with held(process) as training:
                wait_for(lambda: without_live_view(training))
            output += process.communicate()[0]
        assert process.returncode == 0, output
        assert output.count("warning: no live view in MLflow") == 1
        output = copied.run("dvc", "repro", fails=True)
        assert "error: MLflow store" in output
        assert "disk is full" in output
        assert "Traceback" not in output

        (disk / "filler").unlink()
        copied.dvc("repro")

        run = max(store_view.runs(disk).values(), key=lambda run: run.times[0])
        assert run.status == "FINISHED"
        assert [step for step, _, _ in run.points["greyscale/train_elbo"]] == list(range(1, 41))
        assert set(run.models) == {"vae", "decoder"}
        assert set(outputs("plots", "report")) <= set(run.artifacts)
        assert len(store_view.runs(disk)) == 2
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_an_experiment_survives_a_server_that_is_down(copied: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        uri = f"http://127.0.0.1:{free.getsockname()[1]}"
    options = ("--temp", "--name", "night", "-S", "plot_dpi=62")
    output = copied.dvc("exp", "run", *options, MLFLOW_TRACKING_URI=uri)
    assert "warning: MLFLOW_TRACKING_URI http://127.0.0.1:" in output
    assert "once it works, `make rebuild` makes the run" in output
    assert "night" in copied.dvc("exp", "list")
    assert len(store_view.runs(copied.folder)) == 1
    copied.command("rebuild")
    assert "night" in {name.split(" · ")[-1] for name in store_view.by_name(copied.folder)}
