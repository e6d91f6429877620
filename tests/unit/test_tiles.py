"""Grids of digits: every image in its place."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnist_vae import tiles
from tests.support.drawing import render, title


@settings(max_examples=10)
@given(size=st.integers(2, 12), extent=st.floats(0.1, 20), data=st.data())
def test_a_marked_cell_of_the_grid_stands_at_its_coordinates(
    size: int, extent: float, data: st.DataObject
) -> None:
    row, column = (data.draw(st.integers(0, size - 1)) for _ in range(2))
    axis = np.linspace(-extent, extent, size)
    grid = np.zeros((size, size, 784))
    grid[row, column] = 1
    drawn = tiles.manifold(grid, axis, np.array([0, 1]), 2)
    pixels = render(drawn)[..., 0]
    centres = np.array([[(x, y) for x in axis] for y in axis[::-1]]).reshape(-1, 2)
    places = drawn.axes[0].transData.transform(centres).round().astype(int)
    dark = pixels[len(pixels) - 1 - places[:, 1], places[:, 0]].reshape(size, size) < 128
    assert np.argwhere(dark).tolist() == [[row, column]]


def test_a_grid_of_one_unit_is_one_row() -> None:
    grid = np.zeros((1, 5, 784))
    grid[0, 3] = 1
    drawn = tiles.manifold(grid, np.linspace(-2, 2, 5), np.array([0]), 1)
    pixels = render(drawn)[..., 0]
    places = drawn.axes[0].transData.transform([(x, 0) for x in range(-2, 3)]).round().astype(int)
    dark = pixels[len(pixels) - 1 - places[:, 1], places[:, 0]] < 128
    assert dark.tolist() == [False, False, False, True, False]


def test_a_slice_says_so() -> None:
    grid = np.zeros((2, 2, 784))
    drawn = tiles.manifold(grid, np.array([-1.0, 1.0]), np.array([3, 7]), 16)
    assert "two units whose means vary most ($z_{4}$, $z_{8}$), all others 0" in title(drawn)
    assert (drawn.axes[0].get_xlabel(), drawn.axes[0].get_ylabel()) == ("$z_{4}$", "$z_{8}$")


def test_the_grid_of_quantiles_names_its_units_and_quantiles() -> None:
    grid = np.zeros((3, 3, 784))
    grid[0, 2] = 1
    drawn = tiles.manifold_quantiles(grid, np.array([3, 7]), 16)
    axes = drawn.axes[0]
    pixels = render(drawn)[..., 0]
    (x, y), (left, low) = axes.transData.transform([(250 / 3, 250 / 3), (50, 50)]).astype(int)
    assert pixels[len(pixels) - 1 - y, x] < 128  # right and up
    assert pixels[len(pixels) - 1 - low, left] > 128
    assert axes.get_xlabel() == "$z_{4}$: quantile of the prior"
    assert [tick.get_text() for tick in axes.get_yticklabels()] == [
        "5%",
        "25%",
        "50%",
        "75%",
        "95%",
    ]
    render(tiles.manifold_quantiles(grid[:1], np.array([0]), 1))


def test_interpolations_stand_between_their_ends() -> None:
    walks = np.full((2, 5, 64), 0.3)  # of 8 x 8 pixels
    ends = np.stack([np.full((2, 64), 0.8), np.full((2, 64), 0.9)], axis=1)
    drawn = tiles.interpolations(walks, ends)
    canvas = np.asarray(drawn.axes[0].images[0].get_array())
    assert canvas.shape == (16, 7 * 8 + 2 * 2)
    assert (canvas[:, :8] == 0.8).all()
    assert (canvas[:, 10:50] == 0.3).all()
    assert (canvas[:, -8:] == 0.9).all()
    render(drawn)


@pytest.mark.parametrize("units", [1, 2, 10])
def test_traversals_name_each_unit_with_its_kl(units: int) -> None:
    kl = np.linspace(0, 3, 12)
    order = np.argsort(-kl)[:units]
    drawn = tiles.traversals(np.zeros((units, 13, 784)), np.arange(-6, 7) / 2, order, kl)
    axes = drawn.axes[0]
    assert axes.get_yticklabels()[0].get_text() == "$z_{12}$ (3.00 nats)"
    assert [tick.get_text() for tick in axes.get_xticklabels()] == [
        "−3",
        "−2",
        "−1",
        "0",
        "1",
        "2",
        "3",
    ]
    assert len(axes.get_yticks()) == units
    render(drawn)


def test_tiles_keep_pixels_and_places() -> None:
    grid = np.random.default_rng(0).random((2, 3, 784))
    tiled = tiles._tile(grid)
    assert tiled.shape == (56, 84)
    np.testing.assert_array_equal(tiled[28:, 56:], grid[1, 2].reshape(28, 28))


def test_reconstructions_stand_right_of_their_originals_in_their_class() -> None:
    labels = np.array([0, 3, 3], dtype=np.uint8)  # of most classes there is none
    originals = np.arange(1, 4)[:, None] * np.full((3, 784), 0.1)
    drawn = tiles.reconstructions(originals, originals + 0.5, labels)
    assert [label.get_text() for label in drawn.axes[0].get_xticklabels()] == ["0", "3"]
    assert title(drawn).endswith(", of 2 of the 10 classes")
    canvas = np.asarray(drawn.axes[0].images[0].get_array())
    assert canvas.shape == (28, 10 * 70 - 14)  # each has five columns
    middles = canvas[0, 14::70], canvas[0, 42::70]
    none = [0.0, 0.0, 0.0]
    assert middles[0] == pytest.approx([0.1, 0.0, *none, 0.2, 0.3, *none])
    assert middles[1] == pytest.approx([0.6, 0.0, *none, 0.7, 0.8, *none])


@pytest.mark.parametrize("count", [1, 2, 10, 20])
def test_any_number_of_reconstructions_fits(count: int) -> None:
    images, labels = np.ones((10 * count, 784)), np.repeat(np.arange(10), count)
    render(tiles.reconstructions(images, images, labels))


@pytest.mark.parametrize("count", [1, 5, 19, 20, 21, 100])
def test_all_prior_samples_are_shown(count: int) -> None:
    drawn = tiles.prior_samples(np.full((count, 784), 0.5))
    assert np.asarray(drawn.axes[0].images[0].get_array()).sum() == count * 784 * 0.5
    render(drawn)


@pytest.mark.parametrize(("classes", "columns"), [(0, 10), (1, 10), (3, 9), (4, 8), (12, 10)])
def test_reconstructions_of_any_size_fill_ten_columns_by_class(classes: int, columns: int) -> None:
    shown = min(max(classes, 1), 10)
    labels = np.repeat(np.arange(shown), 2 * (10 // shown)).astype(np.uint8)
    originals = np.repeat((labels + 1)[:, None] / 20, 25, axis=1)
    names = [f"class {number}" for number in range(classes)]
    drawn = tiles.reconstructions(originals, originals + 0.5, labels, names)
    canvas = np.asarray(drawn.axes[0].images[0].get_array())
    assert canvas.shape == (2 * 5, columns * (10 + 2) - 2)
    assert np.unique(canvas[canvas > 0.5]).tolist() == pytest.approx(
        [0.5 + (kind + 1) / 20 for kind in range(shown)]
    )
    assert [label.get_text() for label in drawn.axes[0].get_xticklabels()] == (names[:10] or [""])
    render(drawn)
