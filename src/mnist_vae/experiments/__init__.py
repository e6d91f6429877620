"""What Git and DVC hold of the experiments; nothing here knows MLflow.

repository  commits, experiments' refs, files at a commit
snapshot    parameters, code and results of the workspace or a commit, and their hashes
yaml12      their YAML, read quickly
index       snapshots of commits, each read once
origins     where a snapshot stands, and the command that makes it again
recipes     experiments that differ in seeds only, and how two such compare
outputs     outputs in DVC's cache and remotes
compare     how the outputs of two runs differ, and whether that is another result
"""
