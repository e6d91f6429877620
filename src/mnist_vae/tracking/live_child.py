"""The child process of `live`: reads epochs from standard input, logs them to MLflow.

It writes at most one line to standard error, if logging fails, and never outlives a store that
does not answer: after its input has ended it has GRACE seconds.
"""

import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mnist_vae.experiments.snapshot import Snapshot
from mnist_vae.tracking import about, faults, runs
from mnist_vae.tracking import store as stores
from mnist_vae.tracking.live import CLONE
from mnist_vae.tracking.runs import Curves
from mnist_vae.tracking.store import Store

GRACE = 300.0  # on a busy machine importing MLflow at a low priority takes a minute
Message = dict[str, Any]


def main() -> None:
    os.nice(10)  # in the session of training, since Linux gives each session an equal share
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the end of the input says when to stop
    complaints = os.dup(2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # MLflow's own messages
    begun = json.loads(sys.stdin.buffer.readline())
    messages: queue.Queue[Message] = queue.Queue()
    threading.Thread(target=_read, args=(messages,), daemon=True).start()
    try:
        _log(begun, messages)
    except Exception as error:  # whatever it is, training must hear of it
        detail = (str(error).splitlines() or [type(error).__name__])[0]
        with suppress(OSError):  # training has ended
            os.write(complaints, f"{detail}\n".encode())
        os._exit(1)


def _read(messages: "queue.Queue[Message]") -> None:
    ended = False
    for line in sys.stdin.buffer:
        message = json.loads(line)
        ended = ended or "end" in message
        messages.put(message)
    if not ended:
        messages.put({"end": "KILLED", "time": time.time_ns() // 1_000_000})  # training has died
    time.sleep(GRACE)
    os._exit(1)


def _log(begun: Mapping[str, Any], messages: "queue.Queue[Message]") -> None:
    snapshot = Snapshot(begun["params"], begun["code"], begun["key"], {}, "")
    root = Path.cwd()
    with stores.file_lock(root, f"live-{snapshot.key}", timeout=GRACE):
        store = stores.open_store(root)
        with faults.errors(store.uri):
            about.describe(store)
            run_id = _begin(store, snapshot, begun["tags"], begun["time"])
            with _system_metrics(run_id):
                there = runs.curves(store, run_id)  # once: it takes longer with every epoch
                batch: list[Message] = []
                while not any("end" in message for message in batch):
                    batch = [messages.get()]
                    while not messages.empty():
                        batch.append(messages.get())
                    if not _add(store, snapshot, run_id, there, batch):
                        return


@contextmanager
def _system_metrics(run_id: str) -> Iterator[None]:
    """Log the machine's load as well, if MLflow's own switch for that is on."""
    if os.environ.get("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "").lower() not in ("true", "1"):
        yield
        return
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor: Any = SystemMetricsMonitor(run_id, resume_logging=True)  # type: ignore[no-untyped-call]
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()


def _begin(store: Store, snapshot: Snapshot, tags: Mapping[str, str], start: int) -> str:
    """The run to continue, or a new one. One with results stays as it is.

    One that another clone is training is not ours to continue: its curves would be there twice.
    """
    with store.lock(snapshot.key):
        found = [
            run
            for run in runs.of_key(store, snapshot.key)
            if run.info.status != "RUNNING" or run.data.tags.get(CLONE) == tags[CLONE]
        ]
        complete = [run for run in found if "dvc.results" in run.data.tags]
        run = next(iter(complete or found), None) or runs.create(store, snapshot, tags, start)
        if not complete and run.info.status != "RUNNING":  # goes on, maybe elsewhere
            store.client.update_run(run.info.run_id, "RUNNING")
            for name, value in tags.items():
                if name.startswith("env."):
                    store.client.set_tag(run.info.run_id, name, value)
        return str(run.info.run_id)


def _add(
    store: Store, snapshot: Snapshot, run_id: str, there: Curves, batch: Sequence[Message]
) -> bool:
    """Log epochs and, at the end, the status; False if `track` has completed the run by now."""
    rows = [message["row"] for message in batch if "row" in message]
    times = {int(message["row"]["epoch"]): message["time"] for message in batch if "row" in message}
    with store.lock(snapshot.key):
        run = store.client.get_run(run_id)
        if "dvc.results" in run.data.tags or run.info.lifecycle_stage != "active":
            return False
        runs.log_rows(store, run_id, there, snapshot.protocol, rows, times.__getitem__)
        for message in batch:
            if "end" in message:
                store.client.set_terminated(run_id, message["end"], message["time"])
        return True


if __name__ == "__main__":
    main()
