"""Curves lie where their values say, whatever the values."""

import json
import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_vae.chart import BOTTOM, HEIGHT, LEFT, RIGHT, TICKS, TOP, WIDTH, Line, chart, ticks

NUMBERS = st.floats(-1e6, 1e6)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (-178.8, -130.1, ["-170", "-160", "-150", "-140"]),
        (0.5, 30.5, ["10", "20", "30"]),
        (3.1e-4, 8.7e-4, ["0.0004", "0.0005", "0.0006", "0.0007", "0.0008"]),
    ],
)
def test_ticks_are_round_numbers(low: float, high: float, expected: list[str]) -> None:
    assert [f"{tick:f}" for tick in ticks(low, high)] == expected


@given(NUMBERS, st.floats(1e-6, 1e6))
def test_ticks_are_few_and_inside(low: float, span: float) -> None:
    high = low + span
    if high > low:
        found = ticks(low, high)
        assert 2 <= len(found) <= TICKS
        assert all(Decimal(low) <= tick <= Decimal(high) for tick in found)


@given(st.dictionaries(st.integers(1, 500), NUMBERS, min_size=1, max_size=20))
def test_lines_stay_inside_and_the_highest_value_is_on_top(points: dict[int, float]) -> None:
    drawn = chart("t", "u", [Line("one", 0, False, points)])
    assert drawn is not None
    hover = json.loads(drawn.hover)
    assert hover["epochs"] == sorted(points)
    x, y = [float(at) for at in hover["x"]], [float(at) for at in hover["lines"][0]["y"]]
    assert x == sorted(x)
    assert all(LEFT <= at <= WIDTH - RIGHT for at in x)
    assert all(TOP <= at <= HEIGHT - BOTTOM for at in y)
    values = [points[epoch] for epoch in hover["epochs"]]
    assert y[values.index(max(values))] == min(y)
    assert drawn.lines[0].last == hover["lines"][0]["text"][-1]


def test_a_line_with_other_epochs_has_gaps_and_what_is_not_finite_is_left_out() -> None:
    lines = [
        Line("long", 0, False, {1: 1.0, 2: 2.0, 3: -3.0}),
        Line("short", 9, True, {2: 5.0, 3: math.inf}),
        Line("none", 1, False, {1: math.nan}),
    ]
    drawn = chart("t", "u", lines)
    assert drawn is not None
    assert [(line.name, line.tone, line.dashed) for line in drawn.lines] == [
        ("long", 0, False),
        ("short", 1, True),
    ]
    long, short = json.loads(drawn.hover)["lines"]
    assert long["text"] == ["1.00", "2.00", "−3.00"]
    assert short["text"] == ["", "5.00", ""]
    assert [place is None for place in short["y"]] == [True, False, True]
    assert drawn.lines[1].path.count("L") == 1  # one point: a dot
    assert chart("t", "u", lines[2:]) is None
