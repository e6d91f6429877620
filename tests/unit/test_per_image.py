"""What the pictures of single images show."""

import numpy as np
import pytest

from mnist_vae import per_image
from tests.support.drawing import render, title


def test_every_image_is_in_its_cell_of_the_confusion_matrix() -> None:
    labels = np.array([0, 0, 0, 1, 9], np.uint8)
    predicted = np.array([0, 0, 7, 1, 9], np.uint8)
    drawn = per_image.confusion(labels, predicted)
    share = np.asarray(drawn.axes[0].images[0].get_array())
    assert share.shape == (10, 10)
    assert share[0, [0, 7]] == pytest.approx([2 / 3, 1 / 3])
    assert share[[1, 9], [1, 9]].tolist() == [1, 1]
    assert share.sum() == pytest.approx(3)
    written = {text.get_position(): text.get_text() for text in drawn.axes[0].texts}
    assert written == {(0, 0): "2", (7, 0): "1", (1, 1): "1", (9, 9): "1"}
    assert "4 of 5 test images in their class (80.0%)" in title(drawn)


@pytest.mark.parametrize("classes", [1, 2, 40])
def test_any_number_of_classes(classes: int) -> None:
    labels = np.arange(80, dtype=np.uint8) % classes
    drawn = per_image.confusion(labels, np.roll(labels, 1), [f"c{i}" for i in range(classes)])
    render(drawn)
    assert len(drawn.axes[0].get_xticks()) == classes


@pytest.mark.parametrize(("labels", "predicted"), [(None, None), (np.zeros(3, np.uint8), None)])
def test_without_labels_it_says_so(labels: np.ndarray | None, predicted: np.ndarray | None) -> None:
    drawn = per_image.confusion(labels, predicted)
    why = per_image.NO_LABELS if labels is None else per_image.ONE_CLASS
    assert drawn.axes[0].texts[0].get_text() == why
    render(drawn)


def test_the_ends_of_the_elbo_stand_over_their_reconstructions() -> None:
    images = np.stack([np.full((3, 16), value) for value in (0.1, 0.2)])  # of 4 x 4 pixels
    values = np.array([[-200, -190, -180], [-60, -50, -40.0]])
    points = np.array([-200, -100, -90, -40.0])
    drawn = per_image.elbo(points, images, images + 0.5, values)
    render(drawn)
    histogram, lowest, highest = drawn.get_axes()
    legend = histogram.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["mean −107.50", "median −95.00"]
    for axes, first, labels in (
        (lowest, 0.1, ["−200.0", "−190.0", "−180.0"]),
        (highest, 0.2, ["−60.0", "−50.0", "−40.0"]),
    ):
        strip = np.asarray(axes.images[0].get_array())
        assert strip.shape == (8, 12)
        assert (strip[:4] == first).all()
        assert (strip[4:] == first + 0.5).all()
        assert [tick.get_text() for tick in axes.get_xticklabels()] == labels
