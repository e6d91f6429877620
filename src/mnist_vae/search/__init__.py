"""Optuna over ordinary DVC experiments; the study is a view on them, rebuilt before each trial.

space    the space file: for each parameter its choices or its range, checked against the schema
trials   what Git holds of a space: experiments, and what was pruned or failed
study    Optuna: the next point, and whether a trial is worth its end
work     one trial after the other, each a `dvc exp run` in a clone of its own
picture  the metric against each parameter
commands `vae search`
"""
