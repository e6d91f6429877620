"""The same experiment has the same key wherever it stands; stale results are never taken for it."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Param, Run, RunData, RunInfo, RunStatus, RunTag

from mnist_vae.errors import PipelineError
from mnist_vae.experiments import snapshot as snapshots
from mnist_vae.experiments.snapshot import Snapshot
from mnist_vae.tracking import champion, summary

FILES = {
    "params.yaml": "beta: 1.0\nsizes: [512, 512]\nrate: 1e-05\n",
    "dvc.yaml": """
stages:
  train:
    cmd: python train.py
    deps: [train.py]
    params: [beta, sizes, rate]
    outs: [model]
  evaluate:
    cmd: python evaluate.py
    deps: [evaluate.py, model]
    metrics:
      - metrics.json: {cache: false}
  track:
    cmd: python track.py
    deps: [metrics.json, track.py]
""",
    "train.py": "train",
    "evaluate.py": "evaluate",
    "track.py": "track",
    "dvc.lock": """
schema: '2.0'
stages:
  train:
    cmd: python train.py
    deps:
    - {path: train.py, hash: md5, md5: 61cc0e405f4b518d264c089ac8b642ef}
    params:
      params.yaml: {beta: 1, sizes: [512, 512], rate: 1e-05}
    outs:
    - {path: model, hash: md5, md5: aaaa}
  evaluate:
    cmd: python evaluate.py
    deps:
    - {path: evaluate.py, hash: md5, md5: e4cbfeb5d93ae2bb9f5b5c3cdd47dd6e}
    - {path: model, hash: md5, md5: aaaa}
    outs:
    - {path: metrics.json, hash: md5, md5: bbbb}
""",
}


def load(**changes: tuple[str, str]) -> snapshots.Snapshot:
    """Read FILES with old text replaced by new in the files named (dots written as _)."""
    files = dict(FILES)
    for name, (old, new) in changes.items():
        path = name.replace("_", ".")
        assert old in files[path]
        files[path] = files[path].replace(old, new)
    return snapshots.load(lambda path: files[path].encode() if path in files else None)


@pytest.fixture(autouse=True)
def md5(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the sources' real md5 into dvc.lock."""
    lock = FILES["dvc.lock"]
    for line in lock.splitlines():
        for name in ("train.py", "evaluate.py"):
            if f"path: {name}," in line:
                digest = hashlib.md5(FILES[name].encode(), usedforsecurity=False).hexdigest()
                lock = lock.replace(line, line.split("md5: ")[0] + f"md5: {digest}}}")
    monkeypatch.setitem(FILES, "dvc.lock", lock)


def test_results_are_the_outputs_of_dvc_lock() -> None:
    found = load()
    assert not found.problem
    assert found.outputs == {"model": "aaaa", "metrics.json": "bbbb"}
    assert found.params == {"beta": 1.0, "sizes": [512, 512], "rate": 1e-05}


def test_the_key_knows_parameters_and_code_but_not_how_a_number_is_written() -> None:
    key = load().key
    assert load(params_yaml=("1.0", "1")).key == key
    assert load(params_yaml=("beta: 1.0\n", "beta: 1.0   # the ELBO\n")).key == key
    assert load(track_py=("track", "look")).key == key
    assert load(dvc_lock=("aaaa", "cccc")).key == key
    assert load(params_yaml=("1.0", "1.5")).key != key
    assert load(params_yaml=("[512, 512]", "[512]")).key != key
    assert load(evaluate_py=("evaluate", "e")).key != key


OWN = {
    "params_yaml": ("beta: 1.0\n", "beta: 1.0\ndataset: folder\ndata_folder: ./images/\n"),
    "dvc_yaml": ("deps: [train.py]", "deps: [train.py, '${data_folder}']"),
    "dvc_lock": (
        "    - {path: train.py,",
        "    - {path: ./images/, hash: md5, md5: dddd.dir}\n    - {path: train.py,",
    ),
}


def test_a_users_own_images_are_part_of_the_key() -> None:
    own = load(**OWN)
    assert not own.problem
    assert (own.data, own.dataset) == ("dddd.dir", "images")
    old, new = OWN["dvc_lock"]
    other = load(**OWN | {"dvc_lock": (old, new.replace("dddd", "eeee"))})
    assert not other.problem
    assert len({own.key, other.key}) == len({own.recipe, other.recipe}) == 2
    assert own.code == other.code
    elsewhere = load(**OWN | {"dvc_lock": (old, new.replace("path: ./images/", "path: others"))})
    assert elsewhere.problem == "dvc.lock was made from another folder than ./images/ (stage train)"


def test_a_folder_in_the_project_may_be_given_by_an_absolute_path() -> None:
    """DVC writes it to dvc.lock as from the project's root."""
    (given, new), (lock, seen) = OWN["params_yaml"], OWN["dvc_lock"]
    absolute = (given, new.replace("./images/", "/home/ada/project/images"))
    own = OWN | {"params_yaml": absolute, "dvc_lock": (lock, seen.replace("./images/", "images"))}
    found = load(**own)
    assert (found.problem, found.data) == ("", "dddd.dir")
    other = load(**own | {"dvc_lock": (lock, seen.replace("./images/", "mages"))})
    assert "was made from another folder" in other.problem


def test_the_folder_plays_no_part_with_other_data_sets() -> None:
    old, new = OWN["params_yaml"]
    mnist = OWN | {"params_yaml": (old, new.replace("folder\n", "mnist\n"))}
    first = load(**mnist)
    lock, with_folder = OWN["dvc_lock"]
    second = load(**mnist | {"dvc_lock": (lock, with_folder.replace("dddd", "eeee"))})
    assert not first.problem and not second.problem
    assert (first.data, first.dataset) == ("", "mnist")
    assert first.key == second.key


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"train_py": ("train", "new")}, "older than train.py"),
        ({"params_yaml": ("1.0", "2")}, "another beta"),
        ({"dvc_yaml": ("python evaluate.py", "python e.py")}, "another command of stage evaluate"),
        ({"dvc_lock": ("aaaa}\n  evaluate", "cccc}\n  evaluate")}, "older than model"),
        ({"dvc_lock": ("  evaluate:\n", "  other:\n")}, "no stage evaluate"),
    ],
)
def test_results_of_something_else_are_no_results(changes: dict[str, Any], problem: str) -> None:
    found = load(**changes)
    assert problem in found.problem
    assert not found.outputs
    assert not found.results


def test_missing_or_broken_files_are_named() -> None:
    with pytest.raises(PipelineError, match=r"params\.yaml does not exist"):
        snapshots.load(lambda path: None)
    with pytest.raises(PipelineError, match=r"params\.yaml is not valid YAML"):
        snapshots.load(lambda path: b"a: [")


def test_a_dvc_lock_that_cannot_be_read_is_not_said_to_be_absent() -> None:
    assert "dvc.lock is not valid YAML" in load(dvc_lock=("schema", "<<<<<<< ours\nschema")).problem
    without = snapshots.load(
        lambda path: FILES[path].encode() if path in FILES and path != "dvc.lock" else None
    )
    assert "there is no dvc.lock" in without.problem


def test_what_lacks_what_a_run_shows_gets_none() -> None:
    found = snapshots.for_run(load())
    assert found.problem == "its pipeline has no data/processed/train.safetensors"
    assert not found.results
    shown = Snapshot(
        dict.fromkeys(snapshots.NAMED), "", "", dict.fromkeys(snapshots.SHOWN, "md5"), ""
    )
    assert snapshots.for_run(shown) == shown
    assert snapshots.for_run(replace(shown, params={})).problem == "its pipeline has no dataset"


def test_workspace_reads_files_only(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"x")
    read = snapshots.workspace(tmp_path)
    assert read("file") == b"x"
    assert read("folder") is None
    assert read("file/inside") is None


def test_nested_metrics_become_flat() -> None:
    nested = {"binarized": {"test_elbo": -100, "none": None, "sha": "ab", "more": {"a": 1.5}}}
    assert summary.flatten(nested) == {
        "binarized/test_elbo": -100.0,
        "binarized/sha": "ab",
        "binarized/more/a": 1.5,
    }


def test_a_collapsed_model_is_told() -> None:
    assert "no latent unit is active" in summary.warning(
        "greyscale", {"greyscale/active_units": 0.0}
    )
    for metrics in ({"greyscale/active_units": 1.0}, {"binarized/active_units": 0.0}, {}):
        assert summary.warning("greyscale", metrics) == ""


def test_a_metric_without_direction_is_refused() -> None:
    for name in ("test_elbo", "validation_elbo", "test_iwae_5000"):
        assert champion.direction(name) == 1
    assert champion.direction("test_distortion") == -1
    assert champion.direction("test_iwae_5000_bits_per_dimension") == -1
    for name in (
        "test_rate",
        "test_elbo_se",
        "active_units",
        "test_iwae_5000_minus_elbo",
        "iwae_bits_per_dimension",
    ):
        with pytest.raises(PipelineError, match="which of two models is better"):
            champion.direction(name)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("params_yaml", ("beta: 1.0", "beta: 2024-01-01")),
        ("dvc_yaml", ("deps: [train.py]", "deps:")),
        ("dvc_yaml", ("deps: [train.py]", "deps: [3]")),
        ("dvc_lock", ("stages:", "stages: 3\nother:")),
    ],
)
def test_another_layout_is_an_error_of_one_line(name: str, change: tuple[str, str]) -> None:
    with pytest.raises(PipelineError, match="holds what does not belong there"):
        load(**{name: change})


def test_runs_of_one_training_count_once_and_the_oldest_stays() -> None:
    def run(name: str, start: int, seed: int, split: int, model: str) -> Run:
        info = RunInfo(name, "1", "ada", RunStatus.to_string(3), start, start, "active")
        params = [Param("seed", str(seed)), Param("split_seed", str(split))]
        return Run(info, RunData([], params, [RunTag(f"dvc.md5.{snapshots.MODEL}", model)]))

    first, pictures = run("first", 1, 0, 0, "M"), run("pictures", 2, 0, 0, "M")
    split, other = run("split", 3, 0, 1, "M"), run("other", 4, 0, 1, "N")
    elsewhere = run("elsewhere", 5, 0, 0, "O")  # the same seeds on a GPU
    found = champion._trainings([elsewhere, other, split, pictures, first])
    assert [one.info.run_id for one in found] == ["first", "other"]
