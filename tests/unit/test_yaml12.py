"""The quick reader of YAML and the thorough one say the same of whatever either takes."""

import io

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from mnist_vae import params
from mnist_vae.errors import PipelineError
from mnist_vae.experiments import yaml12
from tests.support.checkout import ROOT
from tests.support.settings import FILE

ODD = """1e-05 0x1f 0b1 0o7 012 on yes no true null Null 1:30 2020-01-01 .inf -.INF .nan 1_0 1. .5
+3 -0 0.10 1E3 .5e3 .5e+3 << é 12345678901234567890"""
MARKS = ":-?,[]{}&*!|>'\"%@`#~a01 \t\n.+e_"
PIECES = st.sampled_from([*MARKS, "\n  ", "a: ", "b: ", "- ", ": ", "seed: 3\n", *ODD.split()])
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)


def both(content: bytes) -> None:
    try:
        expected = params.parse(content, "x")
    except PipelineError as error:
        with pytest.raises(PipelineError) as caught:
            yaml12.parse(content, "x")
        assert str(caught.value) == str(error)
        return
    found = yaml12.parse(content, "x")
    assert repr(found) == repr(expected)  # types, too: 1 is not 1.0


@hypothesis_settings(max_examples=3000, deadline=None)
@given(st.lists(PIECES, max_size=14))
def test_any_text_means_the_same(pieces: list[str]) -> None:
    both(("a: " + "".join(pieces)).encode())
    both("".join(pieces).encode())


@pytest.mark.parametrize("sign", ["", "+", "-"])
@pytest.mark.parametrize("number", ["1e3", "1.e3", "1.5e3", ".5", ".5e3", ".5e+3", ".5E-3", "1e+3"])
def test_every_way_to_write_a_number_means_the_same(number: str, sign: str) -> None:
    both(f"a: {sign}{number}".encode())


@given(st.dictionaries(st.text(max_size=6), VALUES, min_size=1, max_size=4))
def test_whatever_dvc_writes_means_the_same(values: dict[str, object]) -> None:
    stream = io.StringIO()
    try:
        YAML().dump(values, stream)
    except Exception:  # what YAML cannot hold
        return
    both(stream.getvalue().encode())


@pytest.mark.parametrize("name", ["params.yaml", "dvc.yaml", "dvc.lock", "packages.yaml"])
def test_the_projects_own_files_are_read_quickly(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = (ROOT / name).read_bytes()
    expected = params.parse(content, name)
    yaml12.parse.cache_clear()
    if name != "dvc.yaml":  # which has comments and pictures of its own
        monkeypatch.setattr(params, "parse", None)
    assert repr(yaml12.parse(content, name)) == repr(expected)
    assert yaml12.parse(FILE.read_bytes(), "settings.yaml")["seed"] == 0
