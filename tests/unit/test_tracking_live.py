"""Who wants the live view, as the environment says."""

from pathlib import Path

import pytest

from mnist_vae.errors import PipelineError
from mnist_vae.tracking import live


@pytest.mark.parametrize(
    ("given", "tried"), [(None, True), ("", True), ("on", True), ("off", False), ("OFF", False)]
)
def test_the_live_view_can_be_turned_off(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    given: str | None,
    tried: bool,
) -> None:
    monkeypatch.chdir(tmp_path)  # no project: whoever tries to show it has to complain
    monkeypatch.delenv(live.SWITCH, raising=False)
    if given is not None:
        monkeypatch.setenv(live.SWITCH, given)
    with live.stream({}) as tracker:
        tracker.send([{"epoch": 1.0}])
    assert ("no live view" in capsys.readouterr().err) == tried


def test_anything_but_on_and_off_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(live.SWITCH, "0")
    with pytest.raises(PipelineError, match="MNIST_VAE_LIVE is '0'; it must be on or off"):
        live.stream({}).__enter__()
