"""What a figure shows: its pixels and its title."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def render(drawn: Figure) -> np.ndarray:
    """The figure's pixels (height, width, 4); nothing may stick out of it."""
    canvas = FigureCanvasAgg(drawn)
    canvas.draw()  # type: ignore[no-untyped-call]
    extent = drawn.get_tightbbox()
    assert extent.min[0] >= 0 and extent.min[1] >= 0, extent
    assert extent.max[0] <= drawn.get_figwidth() and extent.max[1] <= drawn.get_figheight(), extent
    return np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]


def title(drawn: Figure) -> str:
    return drawn.axes[0].get_title("left")
