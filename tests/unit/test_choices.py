"""Whatever params.schema.json lets choose exists: every kind of model, every dataset."""

from itertools import product
from pathlib import Path

import pytest
import torch

from mnist_vae import diagram, initialization, model, params, pixels
from mnist_vae.download import FILES, OWN
from mnist_vae.experiments.snapshot import PROTOCOLS
from mnist_vae.model import VAE, ModelParams
from mnist_vae.sources import sources
from mnist_vae.tracking import view
from tests.support.checkout import RULES
from tests.support.drawing import render
from tests.support.mirrors import LIMITS
from tests.support.settings import SETTINGS

MODEL = ("architecture", "activation", "weight_init", "output_bias")
ELSEWHERE = {"dataset", "likelihood", "objective", "schedule", "arithmetic", "device"}
ENUMS = {key: rule["enum"] for key, rule in RULES.items() if "enum" in rule}


@pytest.mark.parametrize(MODEL, list(product(*(ENUMS[key] for key in MODEL))))
def test_every_model_is_built_stored_and_drawn(
    architecture: str, activation: str, weight_init: str, output_bias: str, tmp_path: Path
) -> None:
    chosen = {"architecture": architecture, "activation": activation, "hidden_sizes": [3, 4, 5]}
    vae = VAE(params.select(ModelParams, SETTINGS | chosen))
    mean_image = torch.full((784,), 0.3) if output_bias == "data_mean" else None
    initialization.initialize(vae, weight_init, mean_image, torch.Generator().manual_seed(0))
    images = torch.rand(2, 784)
    made = vae(images)
    assert made.isfinite().all()

    model.save(vae, tmp_path / "vae.safetensors")
    loaded = model.load(tmp_path / "vae.safetensors")
    assert loaded.params == vae.params
    assert torch.equal(loaded(images), made)

    network = diagram.read(tmp_path / "vae.safetensors")
    counted = diagram.parameters(network.encoder) + diagram.parameters(network.decoder)
    assert counted == sum(weight.numel() for weight in vae.parameters())
    for name, drawn in diagram.draw(network).items():
        assert render(drawn).std() > 1, name


@pytest.mark.parametrize("likelihood", ENUMS["likelihood"])
def test_every_likelihood_begins_at_the_mean_image_and_is_stored_and_named(
    likelihood: str, tmp_path: Path
) -> None:
    vae = VAE(
        params.select(ModelParams, SETTINGS | {"hidden_sizes": [3]}), pixels=pixels.of(likelihood)
    )
    mean_image = torch.linspace(0.01, 0.95, 784)
    initialization.initialize(vae, "torch", mean_image, torch.Generator().manual_seed(0))
    with torch.no_grad():
        vae.decoder.get_parameter("2.weight").zero_()
    made = vae.means(torch.zeros(1, 2))[0]
    torch.testing.assert_close(made, mean_image, atol=1e-5, rtol=0)
    path = tmp_path / "vae.safetensors"
    model.save(vae, path)
    loaded = model.load(path)
    assert loaded.pixels is vae.pixels
    assert torch.equal(loaded.means(torch.zeros(1, 2))[0], made)
    network = diagram.read(path)
    continuous = likelihood == "continuous_bernoulli"
    assert network.continuous == continuous == (b"pixels" in path.read_bytes())
    for name in ("decoder", "vae"):
        drawn = diagram.draw(network)[name]
        render(drawn)
        assert any("Bernoulli" in text.get_text() for text in drawn.axes[0].texts) == continuous


def test_every_choice_of_a_model_is_tried() -> None:
    assert set(ENUMS) == {*MODEL, *ELSEWHERE}


def test_no_two_schemes_give_the_same_weights() -> None:
    weights = set()
    for scheme in ENUMS["weight_init"]:
        vae = VAE(params.select(ModelParams, SETTINGS | {"hidden_sizes": [3]}))
        initialization.initialize(vae, scheme, None, torch.Generator().manual_seed(0))
        weights.add(tuple(vae.decoder.get_parameter("0.weight").flatten().tolist()))
    assert len(weights) == len(ENUMS["weight_init"])


@pytest.mark.parametrize("dataset", sorted(set(ENUMS["dataset"]) - {OWN}))
def test_every_dataset_has_its_files_and_a_mirror(dataset: str) -> None:
    assert len({file.name for file in FILES[dataset]}) == 4
    names = [source.name for source in sources(dataset, "", LIMITS)]
    assert any(name.startswith(("http://", "https://")) for name in names), names


def test_every_likelihood_is_a_protocol_of_commands_and_views() -> None:
    assert [*PROTOCOLS] == ENUMS["likelihood"]
    shown = view.text()
    assert all(f"{protocol}/validation_elbo" in shown for protocol in PROTOCOLS)
