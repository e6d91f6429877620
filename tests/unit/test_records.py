"""Tables come from records: a row without one cannot stand, a figure without one is found."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.special import xlog1py, xlogy

from mnist_vae import figure, records
from mnist_vae.errors import PipelineError
from mnist_vae.experiments.snapshot import DATA
from mnist_vae.records import Record
from tests.support.checkout import ROOT

DEFAULTS = {
    "latent_dim": 2,
    "likelihood": "greyscale",
    "hidden_sizes": [512, 512],
    "seed": 0,
    "split_seed": 0,
    "binarization_seed": 0,
    "evaluation_seed": 0,
    "picture_seed": 0,
    "plot_dpi": 50,
}
METRICS = {
    "test_elbo": -136.781,
    "test_elbo_se": 0.5,
    "test_rate": 6.8,
    "test_rate_se": 0.01,
    "test_distortion": 129.95,
    "test_distortion_se": 0.5,
}
PAGE = "before\n<!-- records: two, three -->\nold\n<!-- records: end -->\nafter\n"


def record(elbo: float = -136.781, **changes: object) -> Record:
    values = DEFAULTS | changes
    metrics = {str(values["likelihood"]): METRICS | {"test_elbo": elbo}}
    trained = {records.MODEL: str([values[key] for key in ("latent_dim", "seed", "split_seed")])}
    return Record("c" * 40, values, metrics, {"epoch": 30.0}, trained, "lock", "a CPU", 200)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    records.write(tmp_path, "two", record(), DEFAULTS)
    records.write(tmp_path, "three", record(latent_dim=3), DEFAULTS)
    (tmp_path / "rows.yaml").write_text("two: the first\nthree: three units\n")
    return tmp_path


def test_a_table_is_what_the_records_say(folder: Path) -> None:
    assert records.render(PAGE, folder, DEFAULTS) == (
        "before\n<!-- records: two, three -->\n"
        "| model | command | test ELBO | rate | distortion |\n"
        "| --- | --- | --- | --- | --- |\n"
        "| the first | `make repro` | \N{MINUS SIGN}136.78 ± 0.50 | 6.80 | 129.95 |\n"
        "| three units | `dvc exp run -S latent_dim=3` "
        "| \N{MINUS SIGN}136.78 ± 0.50 | 6.80 | 129.95 |\n"
        "<!-- records: end -->\nafter\n"
    )
    records.write(folder, "two", record(-137.781, seed=1), DEFAULTS)
    again = records.render(PAGE, folder, DEFAULTS)
    seeds = "\N{MINUS SIGN}137.28 ± 0.71 (2)"
    assert f"| \N{MINUS SIGN}136.78 ± 0.50 | 6.80 | 129.95 | {seeds} |" in again
    assert records.render(again, folder, DEFAULTS) == again
    other = records.render(PAGE, folder, DEFAULTS | {"hidden_sizes": [8], "new": 1})
    assert "`dvc exp run -S hidden_sizes=[512,512] -S latent_dim=3`" in other


def test_a_likelihood_leads_where_every_row_has_it(folder: Path) -> None:
    def with_bound(row: str, nll: float, **changes: object) -> None:
        made = record(iwae_samples=5000, **changes)
        bound = {"test_iwae_5000": -nll, "test_iwae_5000_se": 0.22}
        records.write(folder, row, replace(made, metrics={"greyscale": METRICS | bound}), DEFAULTS)

    for path in folder.glob("*/*.json"):
        path.unlink()
    with_bound("two", 86.2)
    with_bound("two", 86.4, seed=1)
    with_bound("three", 84.79, latent_dim=3)
    defaults = DEFAULTS | {"iwae_samples": 5000}
    table = records.render(PAGE, folder, defaults).splitlines()
    assert table[2].startswith("| model | command | NLL (IWAE-5000) | test ELBO | rate |")
    elbo = "\N{MINUS SIGN}136.78 ± 0.50"
    rest = "6.80 | 129.95"
    assert table[4].endswith(f"| 86.20 ± 0.22 | {elbo} | {rest} | 86.30 ± 0.14 (2) |")
    assert table[5].endswith(f"| 84.79 ± 0.22 | {elbo} | {rest} |  |")
    (folder / "three/seed-0.json").unlink()
    records.write(folder, "three", record(latent_dim=3, iwae_samples=0), DEFAULTS)
    assert "NLL" not in records.render(PAGE, folder, defaults)


def test_a_row_without_a_record_cannot_stand(folder: Path) -> None:
    with pytest.raises(PipelineError, match="no label for four"):
        records.render(PAGE.replace("three", "four"), folder, DEFAULTS)
    (folder / "three/seed-0.json").unlink()
    with pytest.raises(PipelineError, match="has no record; `vae record three EXPERIMENT`"):
        records.render(PAGE, folder, DEFAULTS)
    (folder / "three/seed-0.json").write_text("{}")
    with pytest.raises(PipelineError, match="damaged"):
        records.render(PAGE, folder, DEFAULTS)


def test_a_row_is_one_recipe_and_a_table_one_protocol(folder: Path) -> None:
    newer = DEFAULTS | {"beta": 1.0}
    with pytest.raises(PipelineError, match="records with another beta"):
        records.write(folder, "two", record(seed=1, beta=2.0), newer)
    records.write(folder, "two", record(seed=1, beta=1.0), newer)  # which the others had as well
    (folder / "two/seed-1.json").unlink()
    with pytest.raises(PipelineError, match="records with another latent_dim"):
        records.write(folder, "two", record(latent_dim=3, seed=1), DEFAULTS)
    records.write(
        folder, "three", record(latent_dim=3, likelihood="greyscale"), DEFAULTS
    )  # replaced
    assert len(records.read(folder, "three")) == 1
    (folder / "three/seed-0.json").unlink()
    records.write(folder, "three", record(likelihood="binarized"), DEFAULTS)
    again = record(picture_seed=1)
    elsewhere = replace(again, outputs={records.MODEL: "the same seeds on a GPU"})
    split = replace(record(split_seed=1), outputs=again.outputs)  # of no images
    for other in (again, elsewhere, split):
        with pytest.raises(PipelineError, match="a repetition takes another seed"):
            records.write(folder, "two", other, DEFAULTS)
    with pytest.raises(PipelineError, match="two protocols"):
        records.render(PAGE, folder, DEFAULTS)
    (folder / "three/seed-0.json").unlink()
    others = record(latent_dim=3)
    tested = others.outputs | {DATA["test"]: "of other images"}
    records.write(folder, "three", replace(others, outputs=tested), DEFAULTS)
    with pytest.raises(PipelineError, match="two test sets"):
        records.render(PAGE, folder, DEFAULTS)
    with pytest.raises(PipelineError, match=r"has plot_dpi, which params\.yaml has not"):
        fewer = {name: value for name, value in DEFAULTS.items() if name != "plot_dpi"}
        records.render(PAGE.replace(", three", ""), folder, fewer)


@given(st.permutations(range(5)))
def test_seeds_stand_beside_each_other(order: list[int]) -> None:
    names = ["seed", "split_seed", "evaluation_seed", "seed", "seed"]
    made = [record(**{names[number]: number}) for number in order]
    assert len({one.seeds for one in made}) == 5
    assert len({json.dumps(one.seeds) for one in made}) == 5


def test_the_pages_are_as_the_records_say() -> None:
    for page in records.PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        assert records.BLOCK.search(text), page
        assert records.render(text, ROOT / records.FOLDER, records.defaults(ROOT)) == text, (
            "run `make results`"
        )


def test_no_table_of_results_is_typed_by_hand() -> None:
    text = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    assert re.search(r"^\|", text, re.MULTILINE)
    assert not re.search(r"^\|.*", records.BLOCK.sub("", text), re.MULTILINE)


def test_no_figure_of_the_readme_lacks_a_record() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    kept = {
        f"{abs(record.figure(f'test_{name}')):.2f}"
        for row in (ROOT / records.FOLDER).iterdir()
        if row.is_dir()
        for record in records.read(ROOT / records.FOLDER, row.name)
        for name in ("elbo", "elbo_se", "rate", "distortion")
    }
    prose = records.BLOCK.sub("", text)
    figures = re.findall(r"\N{MINUS SIGN}(\d+\.\d+)", prose)
    assert not [figure for figure in figures if figure not in kept]


def without_a_model(raw: Path) -> list[float]:
    """ELBO of the training images' mean, kept from 0, and minus the test images' entropy, nats."""
    train, test = (
        np.frombuffer((raw / f"{split}-images-idx3-ubyte").read_bytes()[16:], np.uint8) / 255
        for split in ("train", "t10k")
    )
    test, mean = test.reshape(-1, 784), train.reshape(-1, 784).mean(0).clip(1e-6)
    of_mean = xlogy(test, mean) + xlog1py(1 - test, -mean)
    entropy = xlogy(test, test) + xlogy(1 - test, 1 - test)
    return [float(of.sum(1).mean()) for of in (of_mean, entropy)]


def test_no_figure_of_the_documents_lacks_a_record(mnist_raw: Path) -> None:
    numbers = without_a_model(mnist_raw)
    for row in (ROOT / records.FOLDER).iterdir():
        for record in records.read(ROOT / records.FOLDER, row.name) if row.is_dir() else ():
            held = (
                *record.metrics[record.params["likelihood"]].values(),
                *record.last_epoch.values(),
            )
            numbers += [value for value in held if isinstance(value, int | float)]
    kept = {f"{abs(number):.2f}" for number in numbers}
    pages = {ROOT / "README.md", *(ROOT / "docs").glob("*.md")} - {ROOT / "docs/performance.md"}
    lacking = []
    for page in sorted(pages):
        text = records.BLOCK.sub("", page.read_text(encoding="utf-8"))
        text = re.sub(
            r"<!-- without records -->.*?<!-- without records: end -->", "", text, flags=re.S
        )
        figures = re.findall(r"(?<![\d.,:v])\d{2,4}\.\d\d(?![\d.])", text)
        lacking += [(page.name, figure) for figure in figures if figure not in kept]
    assert not lacking


def test_a_record_of_an_unknown_field_is_damaged(folder: Path) -> None:
    path = folder / "two/seed-0.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"more": 1}))
    with pytest.raises(PipelineError, match="damaged"):
        records.read(folder, "two")
    assert replace(record(), cpu="") != record()
    assert replace(record(), train_seconds=None) != record()


def test_the_pictures_of_the_pages_show_their_records(tmp_path: Path) -> None:
    shown = 0
    for page in records.PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        for name, drawn in records.planes(text, ROOT / records.FOLDER):
            figure.save(drawn, tmp_path / "made.png", records.DPI)
            with (
                Image.open(tmp_path / "made.png") as made,
                Image.open((ROOT / page).parent / name) as kept,
            ):
                difference = np.asarray(made, np.float64) - np.asarray(kept, np.float64)
            assert np.abs(difference).mean() < 1, name  # of 255
            shown += 1
    assert shown


def test_a_picture_is_of_one_protocol(folder: Path) -> None:
    page = "<!-- rate-distortion: two, three -->\n![of two](plane.png)\n"
    ((name, drawn),) = records.planes(page, folder)
    assert name == "plane.png"
    assert {text.get_text() for text in drawn.axes[0].texts} == {"2", "3"}
    other = record(likelihood="binarized", latent_dim=3)
    (folder / "three/seed-0.json").unlink()
    records.write(folder, "three", other, DEFAULTS)
    with pytest.raises(PipelineError, match="two, three: figures of two protocols"):
        list(records.planes(page, folder))
