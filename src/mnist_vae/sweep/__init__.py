"""Many experiments, each done by whichever machine a scheduler gives it to; nothing here schedules.

points   a grid of settings: each point checked, and named after what it changes
plan     the sweep file: a commit, where it is to be had, and its points
clone    a clone on a node's own disk, for one task at a time
remote   which points the Git remote holds; an experiment is pushed whole or not
child    DVC as a child process, which signals reach
work     one point, wherever it is called: the unit that any scheduler can run
slurm    a job array of such units
ray      or tasks of a Ray cluster
progress what has become of each point
commands `vae sweep ...`
"""
