"""MLflow, a view on what Git and DVC hold; nothing here can change an output.

track        the stage: the run of what the pipeline has just made; from an experiment to its run
rebuild      the whole store again, from commits and experiments; events: what it tells
ui           `vae ui`: MLflow's page of the runs; about: the experiment's description there,
             view: its saved view of curves and pictures
upsert       one experiment -> one run; runs, models, tags, summary: the parts of it
live         training's curves while it trains; live_child: the process that logs them
environment  where weights were trained
champion     the best model, registered
reproduced   from a run to the commit to run again, and the verdict on it
store        the database or server
"""
