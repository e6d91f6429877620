"""Diagrams that say what the weights are, with texts inside their boxes and apart."""

import json
from dataclasses import replace
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

SCHEMA = json.loads((Path(__file__).parents[2] / "params.schema.json").read_text())


def linear(*sizes: int) -> tuple[Layer, ...]:
    return tuple(
        Layer("Linear", (inputs,), (outputs,), (inputs + 1) * outputs, "ReLU")
        for inputs, outputs in pairwise(sizes)
    )


def ended(*layers: Layer) -> tuple[Layer, ...]:
    """With no activation after the last."""
    return *layers[:-1], replace(layers[-1], activation="")


def network(latent_dim: int = 2, hidden: tuple[int, ...] = (512, 512)) -> Network:
    encoder, decoder = linear(784, *hidden, 2 * latent_dim), linear(latent_dim, *hidden[::-1], 784)
    return Network(ended(*encoder), ended(*decoder))


def conv(latent_dim: int, hidden: tuple[int, ...]) -> Network:
    wide, deep, *units = hidden
    flat = deep * 49
    first, second = ((1, 28, 28), (wide, 14, 14)), ((wide, 14, 14), (deep, 7, 7))
    return Network(
        ended(
            Layer("Convolution", *first, 17 * wide, "ReLU"),
            Layer("Convolution", *second, (16 * wide + 1) * deep, "ReLU"),
            *linear(flat, *units, 2 * latent_dim),
        ),
        ended(
            *linear(latent_dim, *units[::-1], flat),
            Layer("Transposed convolution", *second[::-1], (16 * deep + 1) * wide, "ReLU"),
            Layer("Transposed convolution", *first[::-1], 16 * wide + 784, "ReLU"),
        ),
    )


def texts(drawn: Figure) -> str:
    return "\n".join(text.get_text() for text in drawn.axes[0].texts)


@pytest.mark.parametrize(
    ("architecture", "hidden"),
    [
        *(("mlp", hidden) for hidden in ((3,), (512, 512), tuple(range(20, 28)))),
        *(("conv", hidden) for hidden in ((3, 5), (32, 64, 256), (4, 4, 20, 10))),
    ],
)
def test_the_layers_are_those_of_the_model(
    architecture: str, hidden: tuple[int, ...], tmp_path: Path
) -> None:
    path = tmp_path / "vae.safetensors"
    vae = model.VAE(ModelParams(5, hidden, "relu", architecture, 0))
    model.save(vae, path)
    shown = diagram.read(path)
    assert shown == {"mlp": network, "conv": conv}[architecture](5, hidden)
    total = diagram.parameters(shown.encoder) + diagram.parameters(shown.decoder)
    assert total == sum(weight.numel() for weight in vae.parameters())


def test_a_learned_prior_is_named_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "vae.safetensors"
    vae = model.VAE(ModelParams(5, (3, 4), "relu", "mlp", 1234))
    model.save(vae, path)
    shown = diagram.read(path)
    assert shown == replace(network(5, (3, 4)), components=1234)
    drawn = texts(diagram.draw(shown)["vae"])
    assert "a mixture of 1,234 Gaussians" in drawn
    assert f"{sum(weight.numel() for weight in vae.parameters()):,} parameters" in drawn
    assert "N(0, I)$" in texts(diagram.draw(network())["vae"])


def test_convolutions_say_their_shapes() -> None:
    drawn = texts(diagram.draw(conv(5, (3, 5)))["encoder"])
    assert "Convolution 1 → " in drawn
    assert "(batch, 1, 28, 28)" in drawn


@pytest.mark.parametrize("activation", SCHEMA["properties"]["activation"]["enum"])
def test_every_activation_has_a_name(activation: str, tmp_path: Path) -> None:
    path = tmp_path / "vae.safetensors"
    model.save(model.VAE(ModelParams(2, (3, 4), activation, "mlp", 0)), path)
    names = [layer.activation for layer in diagram.read(path).encoder]
    assert names[0] == names[1] != ""
    assert names[2] == ""
    assert f"Linear 3 → 4, {names[0]}\n" in texts(diagram.draw(diagram.read(path))["encoder"])


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
        replace(network(), components=10_000),
    ],
    ids=[
        *("default", "smallest", "largest", "deep"),
        *("conv", "smallest conv", "largest conv", "learned prior"),
    ],
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
    ("architecture", "message"),
    [
        (None, "is not a model of this project"),
        ("{", "is not a model of this project"),
        ("1", "is not a model of this project"),
        ('{"layers": {"encoder": []}}', "is not a model of this project"),
        ('{"layers": {"encoder": [{"kind": "x"}], "decoder": []}}', "is not a model of this"),
        ('{"activation": "relu"}', "does not name its layers; run `dvc repro train`"),
    ],
)
def test_a_file_that_names_no_layers_is_one_clear_line(
    architecture: str | None, message: str, tmp_path: Path
) -> None:
    metadata = None if architecture is None else {"architecture": architecture}
    write_arrays(tmp_path / "m", {"x": np.zeros(1)}, metadata)
    with pytest.raises(PipelineError, match=message) as caught:
        diagram.read(tmp_path / "m")
    assert "\n" not in str(caught.value)


def test_a_model_that_is_missing_or_damaged(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="does not exist"):
        diagram.read(tmp_path / "m")
    (tmp_path / "m").write_bytes(b"\x00" * 50)
    with pytest.raises(PipelineError, match="is damaged"):
        diagram.read(tmp_path / "m")
