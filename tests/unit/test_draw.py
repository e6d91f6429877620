"""What a model makes: the right pixels in the right place, and one line for what cannot be."""

import base64
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mnist_vae import __main__, draw, initialization, own_images, png
from mnist_vae import posterior as posteriors
from mnist_vae.errors import PipelineError
from mnist_vae.images import Look
from mnist_vae.model import VAE, ModelParams
from tests.support.drawing import render, title
from tests.support.own_images import own

LABELS = np.repeat(np.arange(5, dtype=np.uint8), 4)


def network(units: int = 2, components: int = 0) -> VAE:
    vae = VAE(ModelParams(units, (8,), "tanh", "mlp", components))
    initialization.initialize(vae, "torch", None, torch.Generator().manual_seed(0))
    return vae.eval()


def shown(drawn: draw.Figure) -> np.ndarray:
    """The images of a strip (M, 784)."""
    row = np.asarray(drawn.axes[0].images[0].get_array())
    return row.reshape(28, -1, 28).swapaxes(0, 1).reshape(-1, 784)


@torch.no_grad()
def test_a_digit_is_decoded_where_it_was_asked_for() -> None:
    vae = network()
    drawn = draw.decode(vae, [0.3, -1.2])
    render(drawn)
    expected = torch.sigmoid(vae.decode(torch.tensor([[0.3, -1.2]])))
    np.testing.assert_allclose(shown(drawn), expected, atol=1e-6)
    assert "(0.3, −1.2)" in title(drawn)
    render(draw.decode(network(16), [0.0] * 16))


@pytest.mark.parametrize("z", [[1.0], [1.0, 2.0, 3.0], [1.0, float("nan")]])
def test_another_number_of_coordinates_is_refused(z: list[float]) -> None:
    with pytest.raises(PipelineError, match=f"{len(z)} latent coordinate|not finite") as caught:
        draw.decode(network(), z)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("components", [0, 4])
def test_samples_repeat_with_their_seed(components: int) -> None:
    vae = network(components=components)
    first, again, other = (
        np.asarray(draw.sample(vae, 7, seed).axes[0].images[0].get_array()) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert ("mixture of 4" in title(draw.sample(vae, 7, 1))) == bool(components)


@torch.no_grad()
@pytest.mark.parametrize("steps", [2, 10, 20])
def test_an_interpolation_begins_and_ends_at_the_reconstructions(steps: int) -> None:
    vae, ends = network(), torch.rand(2, 784)
    drawn = draw.interpolate(vae, ends, steps, ("test image 9999 (class 3)",) * 2)
    render(drawn)
    images = shown(drawn)
    assert len(images) == steps + 2
    np.testing.assert_allclose(images[[0, -1]], ends)
    np.testing.assert_allclose(images[[1, -2]], vae(ends), atol=1e-6)
    assert len(drawn.axes[0].get_xticklabels()) == steps + 2


def test_images_are_chosen_by_class_and_seed() -> None:
    for seed in range(5):
        first, last = draw.choose(len(LABELS), LABELS, ["3", "1"], seed)
        assert (LABELS[first], LABELS[last]) == (3, 1)
        assert draw.choose(len(LABELS), LABELS, ["3", "1"], seed) == (first, last)
        assert len(set(draw.choose(len(LABELS), LABELS, ["2", "2"], seed))) == 2
        assert len(set(draw.choose(len(LABELS), LABELS, None, seed))) == 2
    assert len({draw.choose(len(LABELS), LABELS, None, seed) for seed in range(5)}) > 1
    with pytest.raises(PipelineError, match="no image of class 7"):
        draw.choose(len(LABELS), LABELS, ["3", "7"], 0)
    animals = Look(("ant", "bee", "cat", "dog", "eel"), ink=False)
    first, last = draw.choose(len(LABELS), LABELS, ["eel", "ant"], 0, animals)
    assert (LABELS[first], LABELS[last]) == (4, 0)
    with pytest.raises(PipelineError, match="no class elk; there are ant, bee, cat, dog, eel"):
        draw.choose(len(LABELS), LABELS, ["elk", "ant"], 0, animals)


@torch.no_grad()
def test_images_of_which_1_is_light_are_drawn_light() -> None:
    vae, photographs = network(), Look((), ink=False)
    drawn = draw.decode(vae, [0.3, -1.2], photographs)
    image = np.asarray(drawn.axes[0].images[0].get_array())  # 1 is black here
    expected = 1 - torch.sigmoid(vae.decode(torch.tensor([0.3, -1.2]))).view(28, 28)
    np.testing.assert_allclose(image[:28, :28], expected, atol=1e-6)
    for other in (
        draw.sample(vae, 3, 0, photographs),
        draw.interpolate(vae, torch.zeros(2, 784), 2, ("one", "other"), photographs),
        draw.encode(vae, torch.zeros(784), "greyscale", 1, 0, photographs).figure,
    ):
        render(other)
        assert np.asarray(other.axes[0].images[0].get_array()).shape[0] % 29 == 0  # a line between
    ends = draw.interpolate(vae, torch.zeros(2, 784), 2, ("one", "other"), photographs)
    assert np.asarray(ends.axes[0].images[0].get_array())[:28, :28].min() == 1  # black stays black


@torch.no_grad()
@pytest.mark.parametrize("likelihood", ["greyscale", "binarized"])
def test_an_encoding_is_that_of_the_evaluation(likelihood: str) -> None:
    vae, x = network(), torch.rand(784).round()  # black and white: both protocols see the same
    made = draw.encode(vae, x, likelihood, 50, 0)
    render(made.figure)
    posterior = posteriors.infer(vae, x[None])
    np.testing.assert_allclose(made.mean, posterior.mean[0])
    np.testing.assert_allclose(made.deviation**2, posterior.log_variance[0].exp(), rtol=1e-5)
    assert made.rate == pytest.approx(made.kl.sum())
    loss = posteriors.rate_and_distortion(vae, x[None], posterior, 50, 0)[1].item()
    assert made.elbo == pytest.approx(-(made.rate + loss))
    np.testing.assert_allclose(shown(made.figure), torch.stack([x, vae(x)]), atol=1e-6)
    grey = draw.encode(vae, x / 2, likelihood, 1, 0)
    levels = set(np.unique(shown(grey.figure)[0]).tolist())
    assert levels == ({0.0, 0.5} if likelihood == "greyscale" else {0.0, 1.0})


def picture(path: Path, mode: str, size: tuple[int, int] = (28, 28)) -> np.ndarray:
    values = np.random.default_rng(0).integers(0, 90, (size[1], size[0]), dtype=np.uint8)
    Image.fromarray(values).convert(mode).save(path)
    return values


def test_a_grey_picture_of_the_size_is_taken_as_it_is(tmp_path: Path) -> None:
    values = picture(tmp_path / "a.png", "L")
    pixels, notes = png.read(tmp_path / "a.png", 28, inverted=False)
    assert notes == []
    np.testing.assert_array_equal(pixels, values.reshape(-1))
    pixels, (note,) = png.read(tmp_path / "a.png", 28, inverted=True)
    np.testing.assert_array_equal(pixels, 255 - values.reshape(-1))
    assert "without --invert?" in note
    assert png.read(tmp_path / "a.png", 28, inverted=True, ink=False)[1] == []


def test_what_is_changed_in_a_picture_is_said(tmp_path: Path) -> None:
    picture(tmp_path / "b.png", "RGB", (40, 56))
    pixels, notes = png.read(tmp_path / "b.png", 28, inverted=False)
    assert pixels.shape == (784,)
    assert notes == [
        "b.png: in colour, made grey",
        "b.png: of another size, resized to 28 x 28, stretched to a square",
    ]


def test_what_is_transparent_is_ground(tmp_path: Path) -> None:
    layers = np.zeros((28, 28, 4), np.uint8)
    layers[:14, :, 3] = 255  # black ink above, nothing below
    Image.fromarray(layers).save(tmp_path / "c.png")
    pixels, _ = png.read(tmp_path / "c.png", 28, inverted=True)
    assert (pixels[:392] == 255).all()
    assert (pixels[392:] == 0).all()


def test_a_file_of_the_users_own_images_is_read_as_the_stage_reads_it(tmp_path: Path) -> None:
    noise = np.random.default_rng(0)
    layers = noise.integers(0, 256, (40, 30, 4), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation: the top is on the right
    Image.fromarray(layers).save(tmp_path / "a.png")
    Image.fromarray(layers[:, :, :3]).save(tmp_path / "b.jpg", exif=exif)
    Image.fromarray(noise.integers(0, 65536, (40, 40), dtype=np.uint16)).save(tmp_path / "c.png")
    images, _ = own_images.read(own(tmp_path, size=28)).train
    for expected, path in zip(images, sorted(tmp_path.iterdir()), strict=True):
        pixels, notes = png.read(path, 28, inverted=False, ink=False)
        np.testing.assert_array_equal(pixels, expected)
        assert [note.split(": ")[0] for note in notes] == 2 * [path.name]


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    picture(tmp_path / "whole.png", "L")
    content = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "half.png").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.png").write_text("a text")
    for name, says in (
        ("none.png", "there is no file"),
        ("half.png", "cannot be read"),
        ("text.png", "is damaged, or neither PNG nor JPEG"),
    ):
        with pytest.raises(PipelineError, match=says) as caught:
            png.read(tmp_path / name, 28, inverted=False)
        assert "\n" not in str(caught.value)


def test_terminals_get_the_picture_by_their_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    content = np.random.default_rng(0).bytes(10_000)
    monkeypatch.setenv("TERM", "xterm-kitty")
    assert png.inline(content) == ""  # not where it is read by another program
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    parts = re.findall("\033_G([^;]*);([^\033]*)\033\\\\", png.inline(content))
    assert base64.b64decode("".join(text for _, text in parts)) == content
    assert [keys for keys, _ in parts] == ["a=T,f=100,m=1", "m=1", "m=1", "m=0"]
    assert all(len(text) <= png.CHUNK for _, text in parts)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("TERM_PROGRAM", "iTerm.app")
    assert png.inline(content).endswith(f":{base64.b64encode(content).decode()}\a")
    monkeypatch.delenv("TERM_PROGRAM")
    assert png.inline(content) == ""


def test_negative_coordinates_are_no_options() -> None:
    arguments = __main__._parser().parse_args(["decode", "0.3", "-1.2", "--output", "a.png"])
    assert arguments.z == [0.3, -1.2]
    assert arguments.output == Path("a.png").resolve()
