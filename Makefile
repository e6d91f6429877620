# Two commands: `make repro` and `make test`. Needs Python >= 3.11 with venv, git and make.
PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Nothing that is started here reports usage to anybody.
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true
# With uv, where there is one, in half a minute instead of four; or else, or if it has no index, with
# pip. The hashes are the same.
EXACTLY = --quiet --no-deps --require-hashes -r
INSTALL = { command -v uv >/dev/null && \
  uv pip install --compile-bytecode --python $(1)/bin/python $(EXACTLY) $(2); } || \
  $(1)/bin/python -m pip install --disable-pip-version-check $(EXACTLY) $(2)
LINK = --quiet --no-index --no-deps --no-build-isolation --editable .
VAE := .venv/bin/vae

.PHONY: repro test benchmark lint lock benchmark-lock ui rebuild run-of champion results reproduce verify

repro: $(VAE)  ## the environment, then the whole pipeline
	dvc repro
	@$(VAE) changes || true  # says whether the bytes are those of the commit, if that has any

test: $(VAE) lint  ## the environment, then lint, types and all tests
	python -m pytest -n auto --dist loadfile --no-loadscope-reorder  # long files come first

benchmark: $(VAE) .venv-benchmark/installed  ## measure PARTS (or all) and write docs/performance.md
	PYTHONPATH=src python -m benchmarks $(PARTS) $(if $(QUICK),--quick)

ui: $(VAE)  ## MLflow's page of the runs, on this machine
	$(VAE) ui

rebuild: $(VAE)  ## the MLflow store again, from Git and DVC; PRUNE=1: at once without runs of no experiment; HISTORY=1: older commits, too
	$(VAE) rebuild $(if $(PRUNE),--prune) $(if $(HISTORY),--history)

run-of: $(VAE)  ## the MLflow run of EXP (experiment or revision), or of the workspace
	$(VAE) run-of $(EXP)

champion: $(VAE)  ## register the best recipe by METRIC, else by validation ELBO, of at least SEEDS seeds
	$(VAE) champion $(if $(METRIC),--metric $(METRIC)) $(if $(SEEDS),--seeds $(SEEDS))

results: $(VAE)  ## the tables in README and docs/results.md, from the records in records/
	$(VAE) results

reproduce: $(VAE)  ## run RUN (an MLflow run, experiment or revision) again, in its own environment
	$(VAE) reproduce $(RUN) $(if $(RECORD),--record)

verify: $(VAE)  ## run EXP (or HEAD) from nothing; are the bytes those of its dvc.lock?
	$(VAE) verify $(EXP)

lint: $(VAE)
	ruff format --check .
	ruff check .
	mypy

# The environment is exactly requirements.lock, every file checked against its hash.
.venv/installed: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: $(PYTHON) is older than 3.11; name a newer one: make PYTHON=python3.12 repro" >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(call INSTALL,.venv,requirements.lock)
	@touch $@

# The command `vae`: the checkout's code, not a copy.
$(VAE): .venv/installed
	{ command -v uv >/dev/null && uv pip install --python .venv/bin/python $(LINK); } || \
	  .venv/bin/python -m pip install --disable-pip-version-check $(LINK)

# What only the benchmarks compare with, in an environment of its own.
.venv-benchmark/installed: benchmarks/requirements.lock
	$(PYTHON) -m venv --clear .venv-benchmark
	$(call INSTALL,.venv-benchmark,benchmarks/requirements.lock)
	@touch $@

lock:  ## after a change of pyproject.toml's dependencies
	uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --quiet \
	  --python-version 3.11 --group dev pyproject.toml --output-file requirements.lock
	PYTHONPATH=src python -m mnist_vae packages

benchmark-lock:  ## after a change of benchmarks/requirements.in
	uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --quiet \
	  --python-version 3.11 benchmarks/requirements.in --output-file benchmarks/requirements.lock
