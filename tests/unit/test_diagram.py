"""Diagrams that say what the weights are, with texts inside their boxes and apart."""

from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mnist_vae import diagram, model
from mnist_vae.arrays import write_arrays
from mnist_vae.diagram import Layer, Network
from mnist_vae.errors import PipelineError
from mnist_vae.model import ModelParams


def linear(*sizes: int) -> tuple[Layer, ...]:
    return tuple(
        Layer("Linear", (inputs,), (outputs,), (inputs + 1) * outputs)
        for inputs, outputs in pairwise(sizes)
    )


def network(latent_dim: int = 2, hidden: tuple[int, ...] = (512, 512)) -> Network:
    encoder, decoder = linear(784, *hidden, 2 * latent_dim), linear(latent_dim, *hidden[::-1], 784)
    return Network(encoder, decoder, "ReLU")


def conv(latent_dim: int, hidden: tuple[int, ...]) -> Network:
    wide, deep, *units = hidden
    flat = deep * 49
    return Network(
        (
            Layer("Convolution", (1, 28, 28), (wide, 14, 14), 17 * wide),
            Layer("Convolution", (wide, 14, 14), (deep, 7, 7), (16 * wide + 1) * deep),
            *linear(flat, *units, 2 * latent_dim),
        ),
        (
            *linear(latent_dim, *units[::-1], flat),
            Layer("Transposed convolution", (deep, 7, 7), (wide, 14, 14), (16 * deep + 1) * wide),
            Layer("Transposed convolution", (wide, 14, 14), (1, 28, 28), 16 * wide + 784),
        ),
        "ReLU",
    )


def store(path: Path, shown: Network, metadata: dict[str, str] | None) -> Path:
    weights: dict[str, np.ndarray] = {}
    for part, layers in (("decoder", shown.decoder), ("encoder", shown.encoder)):
        for index, layer in enumerate(layers):
            inputs, outputs = layer.inputs[0], layer.outputs[0]
            weights[f"{part}.{2 * index}.weight"] = np.zeros((outputs, inputs), np.float32)
            weights[f"{part}.{2 * index}.bias"] = np.zeros(outputs, np.float32)
    write_arrays(path, weights, metadata)
    return path


def texts(drawn: Figure) -> str:
    return "\n".join(text.get_text() for text in drawn.axes[0].texts)


@pytest.mark.parametrize("hidden", [(3,), (512, 512), tuple(range(20, 28))])
def test_the_architecture_is_read_from_the_weights(hidden: tuple[int, ...], tmp_path: Path) -> None:
    path = store(tmp_path / "m", network(5, hidden), {"architecture": '{"activation": "relu"}'})
    assert diagram.read(path) == network(5, hidden)


@pytest.mark.parametrize("hidden", [(3, 5), (32, 64, 256), (4, 4, 20, 10)])
def test_convolutions_are_read_from_the_weights(hidden: tuple[int, ...], tmp_path: Path) -> None:
    path = tmp_path / "vae.safetensors"
    vae = model.VAE(ModelParams(5, hidden, "relu", "conv"))
    model.save(vae, path)
    shown = diagram.read(path)
    assert shown == conv(5, hidden)
    total = diagram.parameters(shown.encoder) + diagram.parameters(shown.decoder)
    assert total == sum(weight.numel() for weight in vae.parameters())
    assert "Convolution 1 → " in texts(diagram.draw(shown)["encoder"])
    assert "(batch, 1, 28, 28)" in texts(diagram.draw(shown)["encoder"])


@pytest.mark.parametrize(
    "shown",
    [
        network(),
        network(1, (1,)),
        network(512, (8192,) * 8),
        network(16, (1000, 500, 250, 125)),
        conv(2, (32, 64, 256)),
        conv(1, (1, 1)),
        conv(512, (8192,) * 8),
    ],
    ids=["default", "smallest", "largest", "deep", "conv", "smallest conv", "largest conv"],
)
def test_texts_are_inside_their_boxes_and_apart(shown: Network) -> None:
    for name, drawn in diagram.draw(shown).items():
        canvas = FigureCanvasAgg(drawn)
        canvas.draw()  # type: ignore[no-untyped-call]
        axes = drawn.axes[0]
        renderer = canvas.get_renderer()  # type: ignore[no-untyped-call]
        visible = [text for text in axes.texts if text.get_text()]
        extents = [text.get_window_extent(renderer) for text in visible]
        outlines = [patch.get_path().transformed(patch.get_transform()) for patch in axes.patches]
        for text, extent in zip(visible, extents, strict=True):
            about = (name, text.get_text())
            assert all(drawn.bbox.contains(*corner) for corner in extent.corners()), about
            for outline in outlines:
                inside = outline.contains_points(extent.corners())
                assert inside.all() or not outline.intersects_bbox(extent, filled=True), about
        for a, b in combinations(range(len(visible)), 2):
            assert not extents[a].overlaps(extents[b]), (name, visible[a], visible[b])
        for first, second in combinations(outlines, 2):
            assert not first.intersects_path(second), name


def test_diagrams_say_shapes_layers_and_parameters() -> None:
    drawn = diagram.draw(network())
    assert "Linear 784 → 512, ReLU\n401,920 parameters" in texts(drawn["encoder"])
    assert "Linear 512 → 4\n2,052 parameters" in texts(drawn["encoder"])
    assert "logits (batch, 784)" in texts(drawn["decoder"])
    assert "1,333,012 parameters" in texts(drawn["vae"])


@pytest.mark.parametrize(
    ("shown", "metadata"),
    [
        (network(), None),
        (network(), {"architecture": "{"}),
        (network(), {"architecture": "[]"}),
        (network(), {"architecture": '{"activation": "gelu"}'}),
        (Network((), (), ""), {"architecture": '{"activation": "relu"}'}),
        (
            Network(network(3).encoder, network(2).decoder, ""),
            {"architecture": '{"activation": "relu"}'},
        ),
    ],
)
def test_a_file_that_is_not_a_model_is_one_clear_line(
    shown: Network, metadata: dict[str, str] | None, tmp_path: Path
) -> None:
    with pytest.raises(PipelineError, match="is not a model of this project") as caught:
        diagram.read(store(tmp_path / "m", shown, metadata))
    assert "\n" not in str(caught.value)


def test_a_model_that_is_missing_or_damaged(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="does not exist"):
        diagram.read(tmp_path / "m")
    (tmp_path / "m").write_bytes(b"\x00" * 50)
    with pytest.raises(PipelineError, match="is damaged"):
        diagram.read(tmp_path / "m")
