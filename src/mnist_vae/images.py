"""The size of an image."""

SIDE = 28  # pixels
PIXELS = SIDE * SIDE
