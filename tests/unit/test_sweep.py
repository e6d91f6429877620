"""A sweep's points are those of DVC's grammar, checked before anything runs, and named once."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_vae.errors import PipelineError
from mnist_vae.sweep import plan, points, progress, slurm
from mnist_vae.sweep.plan import Sweep
from mnist_vae.sweep.points import BASELINE, Point
from tests.support import settings
from tests.support.checkout import SCHEMA

BASE = settings.FILE.read_bytes()
RULES = SCHEMA.read_bytes()


def names(*settings: str) -> list[str]:
    return [point.name for point in points.check(points.grid(settings), BASE, RULES)]


def test_a_grid_is_every_combination() -> None:
    assert names("latent_dim=3,4", "seed=range(1,3)") == [
        "latent_dim-3_seed-1",
        "latent_dim-3_seed-2",
        "latent_dim-4_seed-1",
        "latent_dim-4_seed-2",
    ]


def test_a_name_says_what_differs_from_the_commit() -> None:
    before = settings.SETTINGS
    same = f"latent_dim={before['latent_dim']}"
    assert names(same) == [BASELINE]
    assert names(same, "seed=7") == names("seed=7") == ["seed-7"]
    assert names("learning_rate=1e-5") == ["learning_rate-1e-05"]
    assert names("hidden_sizes=[32,16],[8]") == ["hidden_sizes-32x16", "hidden_sizes-8"]


def test_settings_that_come_to_the_same_are_one_point() -> None:
    assert names("learning_rate=0.01,1e-2,0.010") == ["learning_rate-0.01"]
    assert names("beta=2,2.0") == ["beta-2"]


def test_the_same_point_has_the_same_name_in_any_order() -> None:
    assert names("seed=9", "latent_dim=5") == names("latent_dim=5", "seed=9")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["latent_dim=0"], "point latent_dim=0: .*latent_dim is 0; it must be"),
        (["latent_dim=4", "seed=1,-1"], "point latent_dim=4 seed=-1: .*seed is -1"),
        (["latent_dimm=3"], "unknown key 'latent_dimm'; did you mean latent_dim"),
        (["+zzz=3"], r"unknown key .\+zzz.; known keys are in params.schema.json"),
        (["~seed"], "unknown key '~seed'"),
        (["hidden_sizes.0=3"], "unknown key 'hidden_sizes.0'"),
        (["latent_dim=3", "quadrature_points=600"], "quadrature_points is 600"),
        (["latent_dim=[3"], "no viable alternative"),
        (["latent_dim"], "Error parsing override"),
        (["latent_dim=glob(*)"], "not supported"),
        (["seed=1", "seed=2"], "seed is set twice; write seed=1,2"),
        (["seed="], "seed is ''"),
    ],
)
def test_a_wrong_point_is_one_line(settings: list[str], says: str) -> None:
    with pytest.raises(PipelineError, match=says) as caught:
        points.check(points.grid(settings), BASE, RULES)
    assert "\n" not in str(caught.value)
    assert "/" not in str(caught.value)


def test_points_of_a_file() -> None:
    text = "latent_dim=4 seed=1  # wide\n\n# nothing\n'hidden_sizes=[8, 8]'\n"
    assert points.lines(text) == [["latent_dim=4", "seed=1"], ["hidden_sizes=[8, 8]"]]


def test_a_wrong_line_of_a_file_is_named() -> None:
    with pytest.raises(PipelineError, match="line 2: No closing quotation"):
        points.lines("seed=1\nseed=1 'hidden_sizes=[8, 8]\n")
    with pytest.raises(PipelineError, match=r"point seed=range\(1,3\): .*one value"):
        points.check([["seed=range(1,3)"]], BASE, RULES)


REF = re.compile(r"(?!\.|-)(?!.*(\.\.|\.lock$|\.$))[A-Za-z0-9_.+-]+")


@given(
    st.dictionaries(
        st.sampled_from(["beta", "dataset", "hidden_sizes", "seed"]),
        st.integers() | st.floats(allow_nan=False) | st.text() | st.lists(st.integers()),
        min_size=1,
    )
)
def test_a_name_is_one_that_git_and_dvc_take(changes: dict[str, object]) -> None:
    name = points.name_of(changes)
    assert REF.fullmatch(name), name
    assert len(name) <= 100
    assert name == points.name_of(json.loads(json.dumps(changes)))


def test_what_is_alike_when_shortened_has_two_names() -> None:
    assert points.name_of({"dataset": "a/b"}) != points.name_of({"dataset": "a-b"})
    long = list(range(100))
    assert points.name_of({"hidden_sizes": long}) != points.name_of({"hidden_sizes": [*long, 1]})


def a_sweep(*found: Point) -> Sweep:
    return Sweep("widths", "ab" * 20, "ssh://host/x.git", "sub/", "/shared/c", found)


def test_a_sweep_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    odd = Point("beta-2", ("beta=2.0", "hidden_sizes=[8, 'ö\"']"))
    sweep = a_sweep(Point("seed-1", ("seed=1",)), odd, *(Point(f"p{n}", ()) for n in range(12)))
    file = tmp_path / "widths.yaml"
    file.write_text(plan._text(sweep), encoding="utf-8")
    assert plan.read(file) == sweep
    assert sweep.refs == f"refs/exps/ab/{'ab' * 19}/"
    assert sweep.point(1) == odd
    for index in (-1, 14):
        with pytest.raises(PipelineError, match=f"no point {index}; it has 0 to 13"):
            sweep.point(index)


@pytest.mark.parametrize("text", ["a: 1", "points: [1]", "points: {0: {}}", "points: {0: 3}"])
def test_another_file_is_no_sweep(tmp_path: Path, text: str) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(text)
    with pytest.raises(PipelineError, match="is no sweep file"):
        plan.read(file)
    with pytest.raises(PipelineError, match="there is no sweep file"):
        plan.named(tmp_path, "missing")


def test_without_slurm_submitting_says_where_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PipelineError, match="on a machine of the SLURM cluster"):
        slurm.submit(tmp_path, a_sweep(Point("seed-1", ("seed=1",))), [0], None)


def test_states_of_what_no_scheduler_knows(tmp_path: Path) -> None:
    found = tuple(Point(f"seed-{n}", (f"seed={n}",)) for n in range(6))
    sweep, log = a_sweep(*found), plan.folder_of(tmp_path, "widths") / "log"
    log.parent.mkdir(parents=True)

    def event(index: int, state: str, detail: str = "") -> str:
        return f"2026-01-01 00:00:00Z\t{index}\tseed-{index}\tn1\t{state}\t{detail}\n"

    log.write_text(
        event(1, "started")
        + event(2, "failed", "no disk")
        + event(3, "started")
        + event(3, "stopped", "by SIGTERM")
        + event(4, "same", "changes nothing")
        + event(5, "done")
        + "torn\n"
    )
    listed = progress.states(tmp_path, sweep, {"seed-0": "c" * 40, "seed-2": "d" * 40})
    assert [state.kind for state in listed] == [
        "done",
        "lost",
        "done",
        "stopped",
        "done",
        "missing",
    ]
    assert progress.line(listed[3]) == "   3  seed-3  stopped: by SIGTERM"
    assert "no longer on the remote" in listed[5].detail
