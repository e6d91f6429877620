"""A picture read as the encoder takes it, and a PNG shown inside the terminals that can."""

import base64
import os
import sys
from collections import Counter
from pathlib import Path

import numpy as np

from mnist_vae import picture
from mnist_vae.errors import PipelineError

CHUNK = 4096  # characters that kitty takes at a time


def read(path: Path, side: int, inverted: bool, ink: bool = True) -> tuple[np.ndarray, list[str]]:
    """The intensities (side * side,), uint8, and a line for each thing that was changed.

    inverted: dark ink on a light ground, where MNIST has light ink on a dark one. ink: are the
    model's own images so, mostly dark? Otherwise they were pictures, and this one is read as they
    were. What is transparent becomes ground. Raises PipelineError, one line, for what cannot be
    read.
    """
    if not path.is_file():
        raise PipelineError(f"there is no file {path}")
    converted: Counter[str] = Counter()
    ground = "black" if ink and not inverted else "white"
    pixels = picture.read(path, side, converted, ground)
    notes = [f"{path.name}: {what}" for what in sorted(converted)]
    pixels = 255 - pixels if inverted else pixels.copy()
    if ink and pixels.mean() > 127:
        other = "without" if inverted else "with"
        notes.append(f"most of {path.name} is light, where MNIST is dark: {other} --invert?")
    return pixels, notes


def inline(content: bytes) -> str:
    """What shows a PNG in this terminal, by kitty's or iTerm2's protocol; empty if it has neither.

    https://sw.kovidgoyal.net/kitty/graphics-protocol/, https://iterm2.com/documentation-images.html
    """
    if not sys.stdout.isatty():
        return ""
    text = base64.b64encode(content).decode()
    if os.environ.get("TERM") == "xterm-kitty":
        parts = [text[start : start + CHUNK] for start in range(0, len(text), CHUNK)]
        more = [1] * (len(parts) - 1) + [0]
        first = ["a=T,f=100,"] + [""] * (len(parts) - 1)
        keys = zip(first, more, parts, strict=True)
        return "".join(f"\033_G{key}m={m};{part}\033\\" for key, m, part in keys)
    if os.environ.get("TERM_PROGRAM") in ("iTerm.app", "WezTerm"):
        return f"\033]1337;File=inline=1;size={len(content)}:{text}\a"
    return ""
