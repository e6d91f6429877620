"""A search that is killed loses and repeats nothing, and another clone goes on with it."""

import re
import signal
from pathlib import Path

from tests.support.sandbox import Project

SPACE = "learning_rate: {low: 1e-3, high: 1e-2, log: true}\nbatch_size: [50, 100]\n"


def refs(project: Project) -> list[str]:
    """The experiments' names, and under which commit each is."""
    listed = project.git("for-each-ref", "--format=%(refname) %(objectname)", "refs/exps")
    return [line for line in listed.splitlines() if re.match(r"refs/exps/[0-9a-f]{2}/", line)]


def test_killed_in_a_trial_it_goes_on_and_so_does_another_clone(
    copied: Project, tmp_path: Path
) -> None:
    (tmp_path / "space.yaml").write_text(SPACE)
    command = ("python", "-m", "mnist_vae", "search", str(tmp_path / "space.yaml"), "--trials")
    with copied.start(*command, "3") as search:
        assert search.stdout
        begun = []
        for line in search.stdout:
            begun += re.findall(r"^trial 2 of 3: (\S+)", line)  # the commit is the first
            if line.startswith("  epoch   1/2"):
                search.kill()
                break
        search.stdout.close()
    assert search.returncode == -signal.SIGKILL
    said = copied.run(*command, "3")
    assert "3 trials on " in said
    assert "3 done, 0 pruned, 0 failed" in said
    assert len(refs(copied)) == 2
    assert len(begun) == 1
    assert any(f"/{begun[0]} " in ref for ref in refs(copied))
    assert copied.git("status", "--short") == ""  # the workspace is as it was
    again = copied.run(*command, "3")
    assert "trial " not in again
    assert said.endswith(again)
    other = Project(tmp_path / "other", copied.mirror)
    copied.git("clone", "--quiet", str(copied.folder), str(other.folder))
    other.git("fetch", "--quiet", "origin", "refs/exps/*:refs/exps/*")
    assert other.run(*command, "0") == again
