"""params.yaml: every mistake is one line that names the key, the value and what is allowed."""

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from mnist_vae import params
from mnist_vae.errors import PipelineError
from tests.support import settings
from tests.support.checkout import ROOT, RULES, SCHEMA
from tests.support.settings import SETTINGS, TEXT

SECOND_CYCLE = {"objective": "iwae", "importance_lr_scale": 0.5}


@pytest.fixture(scope="session")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("params") / "params.yaml"


def check(file: Path, values: dict[str, Any]) -> dict[str, Any]:
    with file.open("w") as stream:
        YAML().dump(values, stream)
    return params.check(file, SCHEMA)


def refusal(file: Path, values: dict[str, Any]) -> str:
    with pytest.raises(PipelineError) as caught:
        check(file, values)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_checkouts_values_and_the_tests_are_valid() -> None:
    assert params.check(ROOT / "params.yaml", SCHEMA)
    assert params.check(settings.FILE, SCHEMA) == SETTINGS


@pytest.mark.parametrize("key", RULES)
def test_a_missing_key_is_named(file: Path, key: str) -> None:
    message = refusal(file, {name: value for name, value in SETTINGS.items() if name != key})
    assert f"{key} is missing" in message


@pytest.mark.parametrize("key", RULES)
@pytest.mark.parametrize(
    "value", ["~ no such thing", None, {"a": 1}, [], [[1]], math.nan, math.inf]
)
def test_a_value_of_the_wrong_kind_is_refused_for_every_key(
    file: Path, key: str, value: object
) -> None:
    message = refusal(file, SETTINGS | {key: value})
    assert f"{key} is" in message
    assert "it must be" in message


@pytest.mark.parametrize("key", [key for key in RULES if RULES[key].get("type") == "integer"])
def test_fractions_and_booleans_are_no_whole_numbers(file: Path, key: str) -> None:
    for value in (1.5, 2.0, True):
        assert "a whole number" in refusal(file, SETTINGS | {key: value})


@pytest.mark.parametrize("key", [key for key in RULES if "maximum" in RULES[key]])
def test_both_ends_of_the_range_are_checked(file: Path, key: str) -> None:
    rule = RULES[key]
    # So that any warm-up goes with it, and any size.
    longest = SETTINGS | {"epochs": RULES["epochs"]["maximum"], "dataset": "folder"}
    assert check(file, longest | {key: rule["maximum"]})
    assert str(rule["maximum"]) in refusal(file, longest | {key: rule["maximum"] + 1})
    low = rule.get("minimum", rule.get("exclusiveMinimum"))
    if "minimum" in rule:
        assert check(file, SETTINGS | {"dataset": "folder", key: low})
        refusal(file, SETTINGS | {key: low - 1})
    else:
        refusal(file, SETTINGS | {key: low})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"quadrature_points": 600, "latent_dim": 16}, "must be 0 with latent_dim 16"),
        ({"quadrature_points": 1}, "must be 0, for none, or from 11 with quadrature_extent 5.0"),
        (
            {"quadrature_points": 24, "quadrature_extent": 12},
            "or from 25 with quadrature_extent 12",
        ),
        ({"architecture": "conv", "hidden_sizes": [8]}, "at least two entries"),
        (SECOND_CYCLE, "must be 0 with importance_warmup_epochs 0"),
        (
            {"objective": "iwae", "importance_warmup_epochs": 30},
            "importance_warmup_epochs is 30; it must be below epochs, which is 30",
        ),
        ({"image_size": 8}, "image_size is 8; it must be 28 with dataset mnist"),
        (
            {"dataset": "fashion-mnist", "test_images": 9},
            "test_images is 9; it must be 0 with dataset fashion-mnist",
        ),
        ({"kl_warmup_epochs": 30.5}, "kl_warmup_epochs is 30.5; it must be at most epochs, 30"),
    ],
)
def test_values_that_do_not_go_together(file: Path, changes: dict[str, Any], says: str) -> None:
    assert says in refusal(file, SETTINGS | changes)


@pytest.mark.parametrize(
    "changes",
    [
        SECOND_CYCLE | {"importance_warmup_epochs": 29},
        # elbo reads none of the keys for several samples
        SECOND_CYCLE | {"objective": "elbo", "importance_warmup_epochs": 30},
        {"kl_warmup_epochs": 30},
        {"quadrature_points": 600, "latent_dim": 2},
        {"quadrature_points": 25, "quadrature_extent": 12},
        {"architecture": "conv", "hidden_sizes": [8, 8]},
        {"dataset": "folder", "image_size": 8, "test_images": 9},
    ],
)
def test_values_that_go_together(file: Path, changes: dict[str, Any]) -> None:
    assert check(file, SETTINGS | changes)


def test_a_misspelt_key_gets_a_suggestion(file: Path) -> None:
    message = refusal(file, SETTINGS | {"latent_dmi": 3})
    assert "unknown key 'latent_dmi'; did you mean latent_dim?" in message
    assert "params.schema.json" in refusal(file, SETTINGS | {"zzz": 3})


def test_numbers_as_dvc_writes_them(file: Path) -> None:
    text = TEXT.replace("learning_rate: 0.002", "learning_rate: 1e-05")
    assert text != TEXT
    file.write_text(text)
    assert params.check(file, SCHEMA)["learning_rate"] == 1e-5


def test_load_gives_typed_frozen_objects(file: Path) -> None:
    @dataclass(frozen=True)
    class Some:
        hidden_sizes: tuple[int, ...]
        beta: float

    check(file, SETTINGS | {"beta": 2})
    loaded = params.load(Some, file, SCHEMA)
    assert loaded == Some((512, 512), 2.0)
    assert isinstance(loaded.beta, float)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [", "not valid YAML"),
        ("seed: 1\nseed: 2", "duplicate key"),
        ("", "must hold"),
        ("- 1", "must hold"),
        ("a: !!python/object:os.system x", "not valid YAML"),
        ("a: \x00", "not valid YAML"),
        ("a: " + "[" * 3000, "maximum recursion depth"),
        ("a: " + "[" * 3000 + "]" * 3000, "maximum recursion depth"),
        ("a: " + "{a: " * 3000 + "}" * 3000, "maximum recursion depth"),
        ("\n".join(" " * depth + "a:" for depth in range(1500)), "maximum recursion depth"),
        ("- " * 3000, "maximum recursion depth"),
        ("a: !!python/name:os.system", "not valid YAML"),
        ("a: !!bool maybe", "a tag does not fit its value"),
        ("a: !!int ''", "a tag does not fit its value"),
        ("a: !!int x", "not valid YAML"),
        ("a: !!timestamp x", "not valid YAML"),
        ("a: !unknown x", "not valid YAML"),
        ("!!set {a, b}", "must hold"),
        ("a: *nowhere", "undefined alias"),
        ("? {a: 1}\n: 1", "not valid YAML"),
        ("? [a, b]\n: 1", "unknown key"),
        ("1: 2", "unknown key 1"),
        ('"a\\nb": 1', "unknown key"),
        ("<<: 3", "not valid YAML"),
        ("a: 1\n---\nb: 2", "not valid YAML"),
        ("%YAML 9.9\n---\na: 1", "not valid YAML"),
        ("a: 2020-13-45", "not valid YAML"),
        ("a:\n\tb: 1", "not valid YAML"),
        ("<html><body>", "must hold"),
    ],
)
def test_broken_files(file: Path, text: str, says: str) -> None:
    file.write_text(text)
    with pytest.raises(PipelineError, match=says) as caught:
        params.check(file, SCHEMA)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["hidden_sizes", "dataset", "seed", "learning_rate"])
@pytest.mark.parametrize(
    "value",
    [
        "[[[1], 2], {a: [3]}]",
        "!!omap [a: [1]]",
        "&x [*x]",
        "&x {a: *x}",
        "[" + "1, " * 5000 + "1]",
        "9" * 400,
        "9" * 5000,
        "0x" + "f" * 5000,
        "1e999999",
        "-1e999999",
        "2020-01-01",
        "2020-01-01T00:00:00Z",
        "!!binary aGVsbG8=",
        "'" + "x" * 100_000 + "'",
        '"\\e[31m"',
        '"\\ud800"',
        "1:30",
        "on",
    ],
)
def test_a_value_that_is_more_than_it_seems_is_one_short_line(
    file: Path, key: str, value: str
) -> None:
    changed = re.sub(rf"^{key}: .*$", lambda _: f"{key}: {value}", TEXT, flags=re.MULTILINE)
    assert changed != TEXT
    file.write_text(changed)
    with pytest.raises(PipelineError) as caught:
        params.check(file, SCHEMA)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message.removeprefix(str(file))) < 300


def test_a_missing_file_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="project's root"):
        params.check(tmp_path / "params.yaml", SCHEMA)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
)


@given(st.sampled_from(sorted(RULES)), ANYTHING)
def test_any_value_is_taken_or_refused_in_one_line(file: Path, key: str, value: object) -> None:
    # JSON is YAML; it carries values that a YAML writer would refuse.
    file.write_text(json.dumps(SETTINGS | {key: value}))
    try:
        params.check(file, SCHEMA)
    except PipelineError as error:
        assert "\n" not in str(error)


MARKS = ":-?,[]{}&*!|>'\"%@`#~a01 \t\n\r\ufeff\x85"
WORDS = """<<|&a |*a|---|...|!!int |!!float |!!bool |!!binary |!!set |!!omap |!!pairs |!!timestamp 
|!!map |!!seq |!!python/object:a |%TAG ! b|seed|
epochs: 3|2020-01-01|0x|0o8|1_0|.nan|-.inf|1e5|: |- |, |"""
PIECES = st.sampled_from([*MARKS, *WORDS.split("|"), "\n  "])


@hypothesis_settings(max_examples=1000)
@given(st.lists(PIECES, max_size=12))
def test_any_yaml_syntax_is_refused_in_one_line(file: Path, pieces: list[str]) -> None:
    file.write_text("".join(pieces), newline="")
    with pytest.raises(PipelineError) as caught:
        params.check(file, SCHEMA)
    assert "\n" not in str(caught.value)


@hypothesis_settings(max_examples=300)
@given(st.data())
def test_any_edit_of_the_file_is_taken_or_refused_in_one_line(
    file: Path, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(TEXT)))
    end = start + data.draw(st.integers(0, 20))
    file.write_text(TEXT[:start] + "".join(data.draw(st.lists(PIECES, max_size=3))) + TEXT[end:])
    try:
        params.check(file, SCHEMA)
    except PipelineError as error:
        assert "\n" not in str(error)


@given(st.binary(max_size=200))
def test_any_bytes_are_taken_or_refused_in_one_line(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(PipelineError) as caught:
        params.check(file, SCHEMA)
    assert "\n" not in str(caught.value)
