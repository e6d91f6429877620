"""What the integration tests look at trainings with."""

import subprocess
import sys
from pathlib import Path

import psutil

from tests.support.sandbox import wait_for
from tests.support.trainings import training_of

# The second child is training, by its command alone; the first has ended and nobody has asked how:
# its live view, once the disk is full.
DVC = """
import subprocess, sys, time
ended = subprocess.Popen([sys.executable, "-c", ""])
training = subprocess.Popen([sys.executable, "-m", "stages", "train"])
time.sleep(600)
"""


def test_training_is_found_beside_a_child_that_has_ended(tmp_path: Path) -> None:
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages/__main__.py").write_text("import time\ntime.sleep(600)\n")
    with subprocess.Popen([sys.executable, "-c", DVC], cwd=tmp_path, text=True) as process:
        started = psutil.Process(process.pid)
        try:
            wait_for(lambda: len(started.children()) == 2)
            ended, training = sorted(started.children(), key=lambda child: child.pid)
            wait_for(lambda: ended.status() == psutil.STATUS_ZOMBIE)
            wait_for(lambda: training.cmdline()[1:] == ["-m", "stages", "train"])
            assert training_of(process) == training
        finally:
            for child in started.children():
                child.kill()
            process.kill()
