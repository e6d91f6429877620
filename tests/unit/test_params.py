"""params.yaml: every mistake is one line that names the key, the value and what is allowed."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from mnist_vae import params
from mnist_vae.errors import PipelineError

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "params.schema.json"
RULES: dict[str, Any] = json.loads(SCHEMA.read_text())["properties"]
DEFAULTS: dict[str, Any] = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text())


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


def test_the_defaults_are_valid(file: Path) -> None:
    assert check(file, DEFAULTS) == DEFAULTS


@pytest.mark.parametrize("key", RULES)
def test_a_missing_key_is_named(file: Path, key: str) -> None:
    message = refusal(file, {name: value for name, value in DEFAULTS.items() if name != key})
    assert f"{key} is missing" in message


@pytest.mark.parametrize("key", RULES)
@pytest.mark.parametrize("value", ["no such thing", None, {"a": 1}, [], [[1]], math.nan, math.inf])
def test_a_value_of_the_wrong_kind_is_refused_for_every_key(
    file: Path, key: str, value: object
) -> None:
    message = refusal(file, DEFAULTS | {key: value})
    assert f"{key} is" in message
    assert "it must be" in message


@pytest.mark.parametrize("key", [key for key in RULES if RULES[key].get("type") == "integer"])
def test_fractions_and_booleans_are_no_whole_numbers(file: Path, key: str) -> None:
    for value in (1.5, 2.0, True):
        assert "a whole number" in refusal(file, DEFAULTS | {key: value})


@pytest.mark.parametrize("key", [key for key in RULES if "maximum" in RULES[key]])
def test_both_ends_of_the_range_are_checked(file: Path, key: str) -> None:
    rule = RULES[key]
    assert check(file, DEFAULTS | {key: rule["maximum"]})
    assert str(rule["maximum"]) in refusal(file, DEFAULTS | {key: rule["maximum"] + 1})
    low = rule.get("minimum", rule.get("exclusiveMinimum"))
    if "minimum" in rule:
        assert check(file, DEFAULTS | {key: low})
        refusal(file, DEFAULTS | {key: low - 1})
    else:
        refusal(file, DEFAULTS | {key: low})


def test_a_misspelt_key_gets_a_suggestion(file: Path) -> None:
    message = refusal(file, DEFAULTS | {"latent_dmi": 3})
    assert "unknown key 'latent_dmi'; did you mean latent_dim?" in message
    assert "params.schema.json" in refusal(file, DEFAULTS | {"zzz": 3})


def test_numbers_as_dvc_writes_them(file: Path) -> None:
    text = (
        (ROOT / "params.yaml").read_text().replace("learning_rate: 0.002", "learning_rate: 1e-05")
    )
    assert "1e-05" in text
    file.write_text(text)
    assert params.check(file, SCHEMA)["learning_rate"] == 1e-5


def test_load_gives_typed_frozen_objects(file: Path) -> None:
    @dataclass(frozen=True)
    class Some:
        hidden_sizes: tuple[int, ...]
        beta: float

    check(file, DEFAULTS | {"beta": 2})
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
    ],
)
def test_broken_files(file: Path, text: str, says: str) -> None:
    file.write_text(text)
    with pytest.raises(PipelineError, match=says) as caught:
        params.check(file, SCHEMA)
    assert "\n" not in str(caught.value)


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
    file.write_text(json.dumps(DEFAULTS | {key: value}))
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
