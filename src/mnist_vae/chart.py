"""Curves as inline SVG for the HTML pages: where everything lies, worked out without floats' whims.

The page's script shows the values of the epoch under the pointer; without it, those of the last.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

WIDTH, HEIGHT = 400, 240  # of the viewBox: 12 units are 12 pixels on a narrow screen
LEFT, RIGHT, TOP, BOTTOM = 52, 10, 8, 22  # margins
TICKS = 6  # at most, of an axis
TONES = 8  # colours that the page's style has


@dataclass(frozen=True)
class Line:
    """A curve: its colour's number, and a value for each epoch that has one."""

    name: str
    tone: int
    dashed: bool
    points: Mapping[int, float]


@dataclass(frozen=True)
class Tick:
    """A place on an axis and what stands there."""

    at: str
    label: str


@dataclass(frozen=True)
class Drawn:
    """A line in the viewBox, and its value in the last epoch that has one."""

    name: str
    tone: int
    dashed: bool
    path: str
    last: str


@dataclass(frozen=True)
class Chart:
    """What the template draws. `hover`: JSON of the epochs' places and of all lines' values."""

    title: str
    unit: str
    x: tuple[Tick, ...]
    y: tuple[Tick, ...]
    lines: tuple[Drawn, ...]
    hover: str


def chart(title: str, unit: str, lines: Sequence[Line]) -> Chart | None:
    """Lay out the lines that have finite values against the epoch; None if there is none."""
    finite = [
        (line, {at: value for at, value in line.points.items() if math.isfinite(value)})
        for line in lines
    ]
    finite = [(line, points) for line, points in finite if points]
    if not finite:
        return None
    epochs = sorted({epoch for _, points in finite for epoch in points})
    values = [value for _, points in finite for value in points.values()]
    low, high = min(values), max(values)
    margin = 0.05 * (high - low) or 0.5
    low, high = low - margin, high + margin
    first, last = (epochs[0], epochs[-1]) if len(epochs) > 1 else (epochs[0] - 1, epochs[0] + 1)

    def x(epoch: float) -> str:
        part = (epoch - first) / (last - first)
        return f"{LEFT + part * (WIDTH - LEFT - RIGHT):.1f}"

    def y(value: float) -> str:
        return f"{TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM):.1f}"

    drawn, hovered = [], []
    for line, points in finite:
        places = [f"{x(epoch)},{y(points[epoch])}" for epoch in epochs if epoch in points]
        ends = places if len(places) > 1 else places * 2  # a round cap makes it a dot
        path = "M" + "L".join(ends)
        latest = shown(points[max(points)])
        drawn.append(Drawn(line.name, line.tone % TONES, line.dashed, path, latest))
        hovered.append(
            {
                "y": [y(points[epoch]) if epoch in points else None for epoch in epochs],
                "text": [shown(points[epoch]) if epoch in points else "" for epoch in epochs],
            }
        )
    whole = [tick for tick in ticks(first, last) if tick == tick.to_integral_value()]
    return Chart(
        title,
        unit,
        tuple(Tick(x(float(tick)), f"{tick:.0f}") for tick in whole),
        tuple(Tick(y(float(tick)), minus(f"{tick:f}")) for tick in ticks(low, high)),
        tuple(drawn),
        json.dumps({"epochs": epochs, "x": [x(epoch) for epoch in epochs], "lines": hovered}),
    )


def ticks(low: float, high: float) -> list[Decimal]:
    """The multiples of 1, 2 or 5 times a power of ten in [low, high], low < high; a few."""
    start, end = Decimal(low), Decimal(high)
    span = end - start
    powers = (span.adjusted() - 1, span.adjusted())
    steps = [Decimal(digit).scaleb(power) for power in powers for digit in (1, 2, 5)]
    step = next(step for step in steps if span / step < TICKS)
    begin = int((start / step).to_integral_value(ROUND_CEILING))
    stop = int((end / step).to_integral_value(ROUND_FLOOR))
    return [step * number for number in range(begin, stop + 1)]


def shown(value: float) -> str:
    """A value with two decimals, as everywhere on the page."""
    return minus(f"{value:.2f}")


def minus(number: str) -> str:
    """A number with the sign that typography has for it."""
    return number.replace("-", "−")
