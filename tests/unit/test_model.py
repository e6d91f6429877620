"""Shapes, initialisation, and weights files that give back the same model or a clear error."""

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mnist_vae import initialization, model
from mnist_vae.arrays import read_arrays, write_arrays
from mnist_vae.errors import PipelineError
from mnist_vae.initialization import StartParams
from mnist_vae.layers import Tanh
from mnist_vae.model import VAE, ModelParams

TINY = ModelParams(3, (5, 4), "tanh", "mlp", 0)


def tiny(seed: int = 0) -> VAE:
    vae = VAE(TINY)
    initialization.initialize(vae, "glorot", None, torch.Generator().manual_seed(seed))
    return vae


def test_the_tutorials_network_has_its_parameters_and_shapes() -> None:
    vae = VAE(ModelParams(2, (512, 512), "relu", "mlp", 0))
    assert sum(weight.numel() for weight in vae.parameters()) == 1_333_012
    x = torch.rand(7, 784)
    mean, log_variance = vae.encode(x)
    assert mean.shape == log_variance.shape == (7, 2)
    assert vae.decode(mean).shape == (7, 784)


def test_forward_is_the_decoded_posterior_mean() -> None:
    vae, x = tiny(), torch.rand(2, 784)
    torch.testing.assert_close(vae(x), torch.sigmoid(vae.decode(vae.encode(x)[0])))


def test_the_decoder_mirrors_the_encoder() -> None:
    vae = tiny()
    sizes = [layer.weight.shape for layer in vae.decoder if isinstance(layer, torch.nn.Linear)]
    assert sizes == [(4, 3), (5, 4), (784, 5)]


def test_initial_decoder_gives_the_mean_image() -> None:
    vae, mean_image = tiny(), torch.rand(784)
    initialization.initialize(vae, "glorot", mean_image, torch.Generator().manual_seed(0))
    logits = vae.decode(torch.zeros(3))
    torch.testing.assert_close(
        torch.sigmoid(logits), mean_image.clamp(1e-3, 1 - 1e-3), atol=1e-6, rtol=1e-5
    )


@pytest.mark.parametrize("units", [2, 4, 50])
@pytest.mark.parametrize("sizes, kind", [((512, 512), "mlp"), ((4, 8, 32), "conv")])
def test_spread_codes_and_bends_fill_the_latent_space(
    sizes: tuple[int, ...], kind: str, units: int
) -> None:
    x = torch.rand((100, 784), generator=torch.Generator().manual_seed(1))
    vaes = {}
    for scheme in ("torch", "spread"):
        vaes[scheme] = VAE(ModelParams(units, sizes, "relu", kind, 0))
        initialization.initialize(vaes[scheme], scheme, None, torch.Generator().manual_seed(0))

    def bends(vae: VAE) -> torch.Tensor:  # distance of each unit's w z + b = 0 from the origin
        first = vae.decoder[0]
        return first.bias.abs() / first.weight.norm(dim=1)

    further = {2: 2.0, 4: 2.0, 50: 1.0}[units]
    torch.testing.assert_close(bends(vaes["spread"]), further * bends(vaes["torch"]))
    mean, log_variance = vaes["spread"].encode(x)
    # entropy of N(0, I) less that of q(z|x)
    torch.testing.assert_close(-0.5 * log_variance.sum(-1), torch.full((100,), 3.0))
    wider = {2: 3.0, 4: 1.5, 50: 1.0}[units]
    torch.testing.assert_close(mean.std(0), wider * vaes["torch"].encode(x)[0].std(0))


def test_initial_weights_depend_on_their_generator_alone() -> None:
    torch.manual_seed(1)
    first = tiny(3).state_dict()
    torch.manual_seed(2)
    assert all(torch.equal(first[name], weight) for name, weight in tiny(3).state_dict().items())
    assert not torch.equal(first["encoder.0.weight"], tiny(4).state_dict()["encoder.0.weight"])


@settings(max_examples=20, deadline=None)
@given(
    st.integers(1, 4),
    st.lists(st.integers(1, 6), min_size=1, max_size=3),
    st.sampled_from(["relu", "tanh"]),
)
def test_save_and_load_give_the_same_model(
    tmp_path_factory: pytest.TempPathFactory, latent: int, sizes: list[int], activation: str
) -> None:
    path = tmp_path_factory.mktemp("model") / "vae.safetensors"
    vae = VAE(ModelParams(latent, tuple(sizes), activation, "mlp", 0))
    model.save(vae, path)
    loaded = model.load(path)
    assert loaded.params == vae.params
    x = torch.rand(2, 784)
    assert torch.equal(loaded(x), vae(x))
    before = path.read_bytes()
    model.save(loaded, path)
    assert path.read_bytes() == before


def test_damaged_or_foreign_weights_are_named(tmp_path: Path) -> None:
    path = tmp_path / "vae.safetensors"
    with pytest.raises(PipelineError, match="does not exist"):
        model.load(path)
    model.save(tiny(), path)
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[:100], b"", b"<html>" * 50):
        path.write_bytes(damaged)
        with pytest.raises(PipelineError, match=r"vae\.safetensors is damaged"):
            model.load(path)
    path.write_bytes(whole)
    arrays, metadata = read_arrays(path)
    del arrays["encoder.0.bias"]
    write_arrays(path, arrays, metadata)
    with pytest.raises(PipelineError, match="not a model of this project"):
        model.load(path)
    write_arrays(path, arrays)
    with pytest.raises(PipelineError, match="not a model of this project"):
        model.load(path)


def test_older_weights_are_read_too(tmp_path: Path) -> None:
    """Theirs do not name the layers."""
    vae, path = tiny(), tmp_path / "vae.safetensors"
    model.save(vae, path)
    arrays, _ = read_arrays(path)
    write_arrays(path, arrays, {"architecture": json.dumps(asdict(vae.params))})
    assert torch.equal(model.load(path)(torch.ones(1, 784)), vae(torch.ones(1, 784)))


CONV = ModelParams(3, (4, 6, 10), "relu", "conv", 0)


def test_convolutions_have_the_same_interface() -> None:
    vae = VAE(CONV)
    for lead in ((), (2,), (3, 2)):
        mean, log_variance = vae.encode(torch.rand(*lead, 784))
        assert mean.shape == log_variance.shape == (*lead, 3)
        assert vae.decode(mean).shape == (*lead, 784)
    x = torch.rand(3, 2, 784)
    torch.testing.assert_close(vae(x)[1, 0], vae(x[1, 0]))


@pytest.mark.parametrize("side", [4, 5, 6, 7, 8, 9, 30, 33])
@pytest.mark.parametrize(
    "architecture", [TINY, replace(CONV, activation="tanh")], ids=["mlp", "conv"]
)
def test_images_of_any_size(architecture: ModelParams, side: int, tmp_path: Path) -> None:
    start = StartParams("greyscale", "spread", "data_mean", seed=0)
    mean_image = torch.rand(side**2) * 0.8 + 0.1
    vae = initialization.new(architecture, start, mean_image)
    images = torch.rand(2, 3, side**2)
    mean, _ = vae.encode(images)
    assert mean.shape == (2, 3, 3)
    assert vae(images).shape == images.shape
    model.save(vae, tmp_path / "vae.safetensors")
    loaded = model.load(tmp_path / "vae.safetensors")
    assert loaded.size == side**2
    assert torch.equal(loaded(images), vae(images))
    with pytest.raises(RuntimeError):
        vae.encode(torch.rand(1, side**2 + 1))
    # Every pixel depends on the code, and the code on every pixel.
    decoded = vae.decode(torch.randn(64, 3))
    assert (decoded.std(0) > 0).all()
    x = torch.rand(16, side**2, requires_grad=True)
    vae.encode(x)[0].sum().backward()
    assert x.grad is not None
    assert (x.grad.abs().sum(0) > 0).all()


@pytest.mark.parametrize("scheme", ["torch", "spread", "glorot"])
@pytest.mark.parametrize("architecture", [TINY, CONV], ids=["mlp", "conv"])
def test_without_a_mean_image_the_output_bias_is_zero(
    scheme: str, architecture: ModelParams
) -> None:
    vae = VAE(architecture)
    initialization.initialize(vae, scheme, None, torch.Generator().manual_seed(0))
    assert torch.count_nonzero(vae.decoder.get_parameter(f"{len(vae.decoder) - 1}.bias")) == 0


def test_convolutions_see_neighbours_and_start_from_the_mean_image() -> None:
    vae, mean_image = VAE(CONV), torch.rand(784)
    for scheme in ("glorot", "torch"):
        initialization.initialize(vae, scheme, mean_image, torch.Generator().manual_seed(0))
        shift = vae.decoder.get_parameter(f"{len(vae.decoder) - 1}.bias")
        torch.testing.assert_close(torch.sigmoid(shift), mean_image.clamp(1e-3, 1 - 1e-3))
        assert (vae.decode(torch.zeros(3)) - shift).abs().max() < 1  # glorot: 0
    features = vae.encoder[:2](torch.zeros(1, 784))
    x = torch.zeros(1, 784)
    x[0, 28 * 14 + 14] = 1.0  # one pixel reaches 2 x 2 of the 14 x 14 outputs
    assert ((vae.encoder[:2](x) - features).abs().amax(1) > 0).sum() == 4


@pytest.mark.parametrize("architecture", [TINY, CONV], ids=["mlp", "conv"])
def test_initial_weights_fill_their_interval(architecture: ModelParams) -> None:
    vae = VAE(replace(architecture, hidden_sizes=(20, 30, 40)))
    initialization.initialize(vae, "torch", torch.rand(784), torch.Generator().manual_seed(0))
    ours = [layer for layer in vae.modules() if hasattr(layer, "reset_parameters")]
    assert len(ours) == 8
    for layer in ours:
        largest = layer.weight.abs().max().item()
        if isinstance(layer, nn.ConvTranspose2d):  # stride 2: an output adds up 2 x 2 of 4 x 4 taps
            expected = (4 * layer.in_channels) ** -0.5
        else:
            layer.reset_parameters()  # torch's own
            expected = layer.weight.abs().max().item()
        assert largest == pytest.approx(expected, rel=0.1)
    initialization.initialize(vae, "glorot", torch.rand(784), torch.Generator().manual_seed(0))
    for layer in ours:
        taps = layer.weight[0, 0].numel()  # 1 of a fully connected layer
        limit = math.sqrt(6 / (taps * (layer.weight.shape[0] + layer.weight.shape[1])))
        assert 0.9 * limit < layer.weight.abs().max() <= limit


@pytest.mark.parametrize("scheme", ["torch", "glorot"])
@pytest.mark.parametrize("architecture", [TINY, CONV], ids=["mlp", "conv"])
def test_initial_activations_neither_vanish_nor_explode(
    scheme: str, architecture: ModelParams
) -> None:
    vae = VAE(replace(architecture, hidden_sizes=(32, 32, 32), latent_dim=16))
    initialization.initialize(vae, scheme, None, torch.Generator().manual_seed(0))
    logits = vae.decode(torch.randn(100, 16, generator=torch.Generator().manual_seed(1)))
    assert 0.01 < logits.var(0).mean() ** 0.5 < 3


def test_weights_of_convolutions_are_saved_and_exported(tmp_path: Path) -> None:
    vae = VAE(CONV).eval()
    model.save(vae, tmp_path / "vae.safetensors")
    loaded = model.load(tmp_path / "vae.safetensors")
    assert loaded.params == CONV
    x = torch.rand(5, 784)
    assert torch.equal(loaded(x), vae(x))
    # As tracking does: any number of images, without this project's code.
    batch = torch.export.Dim("batch")
    for network, size in ((vae, 784), (vae.decoder, 3)):
        exported = torch.export.export(
            network, (torch.zeros(2, size),), dynamic_shapes=({0: batch},)
        ).module()
        for images in (1, 5):
            given = torch.rand(images, size)
            torch.testing.assert_close(exported(given), network(given))


def test_one_size_is_too_few_for_convolutions() -> None:
    with pytest.raises(
        PipelineError, match=r"hidden_sizes is \[5\], but architecture conv"
    ) as caught:
        VAE(replace(CONV, hidden_sizes=(5,)))
    assert "\n" not in str(caught.value)


def test_tanh_is_accurate() -> None:
    x = torch.linspace(-20, 20, 4001, requires_grad=True)
    y = Tanh()(x)
    torch.testing.assert_close(y.double(), torch.tanh(x.double()), atol=2e-7, rtol=0)
    (slope,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(slope, 1 - torch.tanh(x).square(), atol=5e-7, rtol=0)


@pytest.mark.parametrize(
    ("architecture", "sizes", "first", "last"),
    [
        ("mlp", (12,), [(12, 784), (12,)], [(784, 12), (784,)]),
        ("conv", (3, 4, 12), [(3, 1, 4, 4), (3,)], [(3, 1, 4, 4), (784,)]),
    ],
)
def test_layers_at_the_pixels(
    architecture: str,
    sizes: tuple[int, ...],
    first: list[tuple[int, ...]],
    last: list[tuple[int, ...]],
) -> None:
    vae = VAE(ModelParams(2, sizes, "relu", architecture, 0))
    assert [tuple(weight.shape) for weight in vae.input_layer()] == first
    assert [tuple(weight.shape) for weight in vae.output_layer()] == last
