"""Hypothesis without deadlines: the first call of a torch function loads it. One thread: the tests
are small, and several workers may share the cores."""

import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("pipeline", deadline=None)
settings.load_profile("pipeline")
