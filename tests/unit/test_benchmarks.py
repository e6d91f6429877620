"""The benchmarks' arithmetic and their table writer."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks import clock, epoch, experiment, floor, marginal_lap, report
from benchmarks.recipe import NETWORK
from mnist_vae.errors import PipelineError
from mnist_vae.model import VAE


def test_an_epoch_of_the_tutorials_network_is_431_gflop() -> None:
    assert round(floor.flop(NETWORK, 60_000) / 1e9) == 431


def test_the_layers_are_the_models() -> None:
    network = replace(NETWORK, hidden_sizes=(7, 5), latent_dim=3)
    model = VAE(network)
    linear = [layer for layer in [*model.encoder, *model.decoder] if hasattr(layer, "in_features")]
    assert floor.layers(network) == [(layer.in_features, layer.out_features) for layer in linear]


def test_the_floor_does_the_products_that_it_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    network, done = replace(NETWORK, hidden_sizes=(6,)), 0
    multiply = torch.mm

    def count(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        nonlocal done
        done += 2 * a.shape[0] * a.shape[1] * b.shape[1]
        return multiply(a, b, out=out)

    monkeypatch.setattr(torch, "mm", count)
    floor.step(network, 4, "cpu", onednn=False)()
    assert done == floor.flop(network, 4)


def test_the_floor_with_adam_updates_every_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    network, made = replace(NETWORK, hidden_sizes=(6,)), []
    adam = torch.optim.Adam

    def noted(weights: list[torch.Tensor], **how: object) -> torch.optim.Adam:
        made.append(adam(weights, **how))  # type: ignore[arg-type]
        return made[-1]

    monkeypatch.setattr(torch.optim, "Adam", noted)
    floor.step(network, 4, "cpu", onednn=False, adam=True)()
    (optimizer,) = made
    updated = [state["exp_avg"].numel() for state in optimizer.state.values()]
    assert updated == [inputs * outputs for inputs, outputs in floor.layers(network)]


def test_a_row_for_each_machine() -> None:
    laps = {name: [{"seconds": 2.0}] for name in epoch.RIVALS} | {"ours": [{"seconds": 3.0}]}
    table = epoch.by_machine({"one CPU": laps, "another": laps})
    assert [row[:3] for row in table.rows] == [
        ["another", "3.00", "1.50"],
        ["one CPU", "3.00", "1.50"],
    ]


def test_iwae_5000_on_the_test_set_is_66_tflop() -> None:
    work = marginal_lap.products("iwae", 10_000, 0, "cpu")
    assert marginal_lap.flop(work) / 1e12 == pytest.approx(66, rel=0.01)


def test_quadrature_on_the_test_set_is_7_tflop() -> None:
    work = marginal_lap.products("quadrature", 10_000, 600, "cpu")
    assert marginal_lap.flop(work) / 1e12 == pytest.approx(1.08 * (5.64 + 0.48), rel=0.01)


def test_ratios_are_taken_turn_by_turn() -> None:
    ours = [{"seconds": 1.0}, {"seconds": 20.0}, {"seconds": 3.0}]
    theirs = [{"seconds": 2.0}, {"seconds": 40.0}, {"seconds": 3.0}]
    assert clock.ratio(ours, theirs) == 0.5


def test_a_table_in_markdown() -> None:
    table = report.Table("Epoch", "One note.", ["", "s"], [["ours", "1.0"], ["a|b", "2.0"]])
    assert report.markdown(table) == (
        "### Epoch\n\nOne note.\n\n|  | s |\n| --- | --: |\n| ours | 1.0 |\n| a\\|b | 2.0 |"
    )
    with pytest.raises(ValueError, match="another length"):
        report.markdown(report.Table("Epoch", "", ["", "s"], [["ours"]]))


def test_met_and_missed() -> None:
    assert report.target(1.1, 1.1) == "≤ 1.1: met"
    assert report.target(1.11, 1.1) == "≤ 1.1: missed"
    assert report.at_least(79.9, 80, " %") == "≥ 80 %: missed"


def test_the_page_changes_between_the_markers_only(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    for _ in range(2):
        report.write(page, [report.Table("New", "note")])
        assert page.read_text() == (
            f"before\n{report.BEGIN}\n\n### New\n\nnote\n\n{report.END}\nafter\n"
        )
    page.write_text("no markers")
    with pytest.raises(PipelineError, match="no lines"):
        report.write(page, [])


def test_an_experiment_is_compared_turn_by_turn() -> None:
    laps = {
        experiment.OURS: [{"all": 4.0, "train": 1.0}, {"all": 30.0, "train": 9.0}],
        experiment.BEFORE: [{"all": 10.0, "train": 2.0}, {"all": 60.0, "train": 8.0}],
        experiment.IMPORTS: [{"all": 3.0}, {"all": 12.0}],
    }
    (table,) = experiment.tables({"laps": laps})
    assert table.header == ["", "ours", experiment.BEFORE, "imports alone", "target"]
    assert table.rows[0] == ["all", "17.0", "35.0", "7.5", ""]
    assert table.rows[1] == ["train", "5.0", "5.0", "-", ""]
    assert table.rows[2][1:] == ["0.45", "1.00", "0.25", "≤ 0.4: missed"]
