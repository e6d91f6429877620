"""Figures for every latent size and for extreme inputs, what they show, and their bytes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_vae import diagram, evaluated, figure, latent, model, plots
from mnist_vae.arrays import write_arrays
from mnist_vae.errors import PipelineError
from mnist_vae.history import COLUMNS, read
from mnist_vae.images import Look, metadata
from mnist_vae.inputs import Inputs
from mnist_vae.model import ModelParams
from stages import plots as stage
from tests.support.checkout import PICTURES, ROOT, outputs
from tests.support.drawing import render, title
from tests.support.settings import lay_out

HEADER = ",".join(COLUMNS) + "\n"


def arrays(latent_dim: int, images: int = 60) -> dict[str, np.ndarray]:
    """What the evaluate stage leaves."""
    rng = np.random.default_rng(latent_dim)
    labels = rng.permutation(np.arange(images) % 10).astype(np.uint8)
    rows = 1 if latent_dim == 1 else 4
    return {
        "active": (np.arange(latent_dim) % 3 == 0).astype(np.uint8),
        "elbo_per_image": -100 - rng.random(images, dtype=np.float32),
        "extreme_elbo": -100 - rng.random((2, 8), dtype=np.float32),
        "extreme_reconstructions": rng.random((2, 8, 784), dtype=np.float32),
        "extremes": rng.random((2, 8, 784), dtype=np.float32),
        "interpolation_ends": rng.random((6, 2, 784), dtype=np.float32),
        "interpolations": rng.random((6, 9, 784), dtype=np.float32),
        "knn_predicted": rng.permutation(labels),
        "kl_per_unit": rng.random(latent_dim, dtype=np.float32),
        "labels": labels,
        "latent_mean": rng.standard_normal((images, latent_dim), dtype=np.float32),
        "manifold": rng.random((rows, 4, 784), dtype=np.float32),
        "manifold_axis": np.linspace(-4, 4, 4, dtype=np.float32),
        "manifold_quantiles": rng.random((rows, 4, 784), dtype=np.float32),
        "manifold_units": np.arange(min(latent_dim, 2), dtype=np.int32),
        "originals": rng.random((20, 784), dtype=np.float32),
        "picture_labels": np.repeat(np.arange(10), 2).astype(np.uint8),
        "prior_samples": rng.random((23, 784), dtype=np.float32),
        "reconstructions": rng.random((20, 784), dtype=np.float32),
        "traversal_axis": np.arange(-6, 7, dtype=np.float32) / 2,
        "traversal_units": rng.permutation(latent_dim)[:10].astype(np.int32),
        "traversals": rng.random((min(latent_dim, 10), 13, 784), dtype=np.float32),
    }


def history(path: Path, epochs: int = 3, validation: bool = True) -> Path:
    lines = [
        f"{epoch},1,0.001,-150,-{150 - epoch},{5 + epoch},{145 - 2 * epoch},"
        + (f"-{152 - epoch},{5 + epoch},{147 - 2 * epoch}\n" if validation else ",,\n")
        for epoch in range(1, epochs + 1)
    ]
    path.write_text(HEADER + "".join(lines))
    return path


@pytest.mark.parametrize("components", [0, 300])
@pytest.mark.parametrize("latent_dim", [1, 2, 3, 16, 40])
def test_every_latent_size_has_every_figure(
    latent_dim: int, components: int, tmp_path: Path
) -> None:
    folder = workspace(tmp_path)
    drawn = plots.draw(read(folder / stage.HISTORY), arrays(latent_dim), components=components)
    diagrams = diagram.draw(diagram.read(folder / stage.MODEL))
    assert {*drawn, *diagrams} == {Path(picture).stem for picture in PICTURES}
    for name in ("prior_samples", "manifold", "manifold_quantiles"):  # what they are drawn from
        told = title(drawn[name])
        assert told
        assert ("mixture" in told or "learned prior" in told) == bool(components), name
    assert ("at it" in drawn["traversals"].axes[0].get_xlabel()) == bool(components)
    assert ("KL of all units" in title(drawn["latent_units"])) != bool(components)
    caption = evaluated.caption(arrays(latent_dim))
    for name, each in (drawn | diagrams).items():
        assert render(figure.captioned(each, caption)).std() > 1, name


@pytest.mark.parametrize("latent_dim", [1, 2, 3])
def test_a_collapsed_posterior_and_blank_images_can_be_drawn(
    latent_dim: int, tmp_path: Path
) -> None:
    values = arrays(latent_dim)
    for name, array in values.items():
        if array.dtype == np.float32 and not name.endswith("_axis"):
            array[:] = 0
    values["active"][:] = 0
    drawn = plots.draw(read(history(tmp_path / "h.csv")), values)
    for each in drawn.values():
        render(each)
    assert title(drawn["latent_units"]).startswith(f"Active latent units: 0 of {latent_dim} ")


@pytest.mark.parametrize(("epochs", "validation"), [(1, True), (1, False), (3, False)])
def test_one_epoch_and_no_validation_set(epochs: int, validation: bool, tmp_path: Path) -> None:
    table = read(history(tmp_path / "h.csv", epochs, validation))
    drawn = plots.training(table)
    render(drawn)
    assert [len(axes.lines) for axes in drawn.axes] == [1 + validation] * 3 + [1]
    for axes in drawn.axes[:3]:
        legend = axes.get_legend()
        assert legend is not None
        box, panel = legend.get_window_extent(), axes.get_window_extent()
        assert box.y0 >= panel.y1 - 1  # above the curves
        assert box.x1 <= panel.x1
    legend = drawn.axes[0].get_legend()
    assert legend is not None
    assert legend.get_texts()[0].get_text() == f"train: {150 - epochs}.00"


def test_training_curves_are_the_tables_columns(tmp_path: Path) -> None:
    table = read(history(tmp_path / "h.csv"))
    for row, beta in zip(table, (0.25, 0.5, 1.0), strict=True):
        row["beta"] = beta
    drawn = plots.training(table)
    train, validation = drawn.axes[0].lines
    assert list(np.asarray(train.get_ydata())) == [149, 148, 147]
    assert list(np.asarray(validation.get_ydata())) == [151, 150, 149]
    assert "β = 0.25 to 1," in drawn.get_suptitle()


def test_the_latent_plot_names_what_it_shows() -> None:
    for latent_dim, label in ((1, "$z_{1}$"), (2, "$z_{1}$"), (3, "principal component 1")):
        values = arrays(latent_dim)
        drawn = latent.latent(values["latent_mean"], values["labels"])
        assert drawn.axes[0].get_xlabel().startswith(label)
        assert title(drawn).startswith("Latent means of 60 test images, by class")


def test_principal_components_find_the_long_axes_whatever_the_rotation() -> None:
    rng = np.random.default_rng(0)
    spread = rng.standard_normal((500, 4)) * [5, 2, 0.1, 0.1]
    rotation, _ = np.linalg.qr(rng.standard_normal((4, 4)))
    plain, share = latent.principal_components(spread)
    turned, turned_share = latent.principal_components(spread @ rotation.T)
    np.testing.assert_allclose(np.abs(turned), np.abs(plain), atol=1e-9)
    np.testing.assert_allclose(turned_share, share)
    variances = (spread - spread.mean(0)).var(0)
    assert share == pytest.approx(variances[:2] / variances.sum(), rel=0.01)


@pytest.mark.parametrize("seed", range(5))
def test_principal_components_have_a_fixed_sign(seed: int) -> None:
    spread = np.random.default_rng(seed).standard_normal((50, 3)) * [2, 5, 1]
    points, _ = latent.principal_components(spread)
    directions, *_ = np.linalg.lstsq(spread - spread.mean(0), points, rcond=None)
    assert directions[[1, 0], [0, 1]].min() > 0.8


@given(st.lists(st.floats(0, 10), min_size=1, max_size=20))
def test_units_are_sorted_by_kl_in_chart_and_table(kl: list[float]) -> None:
    values = np.array(kl)
    active = values > 0.01
    rows = [line.split(",") for line in latent.unit_table(values, active).splitlines()[1:]]
    heights = [float(row[1]) for row in rows]
    assert heights == sorted(heights, reverse=True)
    for unit, height, mark in rows:
        assert float(height) == pytest.approx(kl[int(unit) - 1])
        assert bool(int(mark)) == active[int(unit) - 1]
    assert sorted(int(row[0]) for row in rows) == list(range(1, len(kl) + 1))
    axes = latent.latent_units(values, active).axes[0]
    bars = sorted((bar.get_x(), bar.get_height()) for bar in axes.patches)  # type: ignore[attr-defined]
    assert [height for _, height in bars] == pytest.approx(heights)
    assert [tick.get_text() for tick in axes.get_xticklabels()] == [f"$z_{{{r[0]}}}$" for r in rows]


def workspace(folder: Path) -> Path:
    """A project with the inputs of the stage."""
    lay_out(folder)
    (folder / "metrics").mkdir()
    history(folder / "metrics/history.csv")
    write_arrays(folder / "results/evaluation.safetensors", arrays(3))
    model.save(model.VAE(ModelParams(3, (8,), "tanh", "mlp", 0)), folder / stage.MODEL)
    return folder


def test_the_stage_writes_the_same_bytes_whatever_the_users_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace(tmp_path))
    stage.main(Inputs("plots"))
    first = {path.name: path.read_bytes() for path in Path("plots").iterdir()}
    shutil.rmtree("plots")
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "image.origin": "lower"}):
        stage.main(Inputs("plots"))
    assert {path.name: path.read_bytes() for path in Path("plots").iterdir()} == first
    assert {f"plots/{name}" for name in first} == set(outputs("plots"))
    assert not any(b"matplotlib" in content or b"tIME" in content for content in first.values())


def test_the_resolution_is_the_parameters(tmp_path: Path) -> None:
    sizes = []
    for dpi in (50, 100):
        figure.save(latent.latent_units(np.ones(2), np.ones(2)), tmp_path / "a.png", dpi)
        sizes.append(int.from_bytes((tmp_path / "a.png").read_bytes()[16:20]))
    assert sizes == [400, 800]


def test_the_stage_loads_neither_torch_nor_mlflow() -> None:
    code = "import sys, stages.plots; sys.exit(bool({'torch', 'mlflow'} & set(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_every_figure_says_whose_it_is() -> None:
    values = arrays(3)
    values["elbo_per_image"][:] = [-100.126, -100.13] * 30
    text = "latent_dim 3, test ELBO −100.13 nats per image"
    assert evaluated.caption(values) == text
    drawn = latent.latent_units(values["kl_per_unit"], values["active"])
    before = drawn.get_figheight()
    assert figure.captioned(drawn, text).get_suptitle() == text
    assert drawn.get_figheight() > before
    canvas = latent.latent_units(values["kl_per_unit"], values["active"])
    canvas.set_layout_engine("none")  # as diagrams have it
    assert figure.captioned(canvas, text).texts[-1].get_text() == text
    assert canvas.get_figheight() == before


def test_missing_arrays_are_named(tmp_path: Path) -> None:
    values = arrays(2)
    del values["manifold"], values["labels"]
    write_arrays(tmp_path / "e", values)
    with pytest.raises(PipelineError, match="holds no labels, manifold; run `dvc repro evaluate`"):
        evaluated.read(tmp_path / "e")


def test_arrays_that_are_not_finite_are_named(tmp_path: Path) -> None:
    values = arrays(2)
    values["latent_mean"][0, 0] = np.nan
    write_arrays(tmp_path / "e", values)
    with pytest.raises(PipelineError, match="latent_mean not finite"):
        evaluated.read(tmp_path / "e")


@pytest.mark.parametrize("latent_dim", [1, 2, 3])
@pytest.mark.parametrize("classes", [0, 2, 10, 200])
def test_any_number_of_classes_or_none_can_be_drawn(
    classes: int, latent_dim: int, tmp_path: Path
) -> None:
    values = arrays(latent_dim, images=400)
    names = tuple(f"${number} of a longer name" for number in range(classes))
    values["labels"] = (np.arange(400) % max(classes, 1)).astype(np.uint8)
    values["picture_labels"] = (np.arange(20) % min(max(classes, 1), 10)).astype(np.uint8)
    if not classes:
        del values["labels"]
    drawn = plots.draw(read(history(tmp_path / "h.csv")), values, names)
    for name, each in drawn.items():
        assert render(each).std() > 1, name
    for name in ("latent", "reconstructions"):
        assert (" class" in title(drawn[name])) == bool(classes)


def test_images_of_which_1_is_light_look_so(tmp_path: Path) -> None:
    values = arrays(2)
    del values["labels"]
    for look in (Look((), ink=False), Look((), ink=True)):
        write_arrays(tmp_path / "arrays", values, metadata(look))
        shown, read_look = evaluated.read(tmp_path / "arrays")
        for name in values.keys() - set(evaluated.OF_IMAGES):
            np.testing.assert_array_equal(shown[name], values[name])
        for name in evaluated.OF_IMAGES:
            framed = shown[name].reshape(-1, 29, 29)  # with a white line between two
            stored = values[name].reshape(-1, 28, 28)
            inside = stored if look.ink else 1 - stored
            np.testing.assert_array_equal(framed[:, :28, :28], inside)
            assert not framed[:, 28].any() and not framed[:, :, 28].any()
        assert read_look == look
    write_arrays(tmp_path / "arrays", arrays(2))
    digits, _ = evaluated.read(tmp_path / "arrays")
    np.testing.assert_array_equal(digits["originals"], arrays(2)["originals"])
    write_arrays(tmp_path / "arrays", values, metadata(Look(("a", "b"), ink=True)))
    with pytest.raises(PipelineError, match="holds no labels"):
        evaluated.read(tmp_path / "arrays")
