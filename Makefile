# Python 3.11 or newer and make are all that is needed; every target first brings .venv up to date.
#   PYTHON=python3.12 make env        another interpreter
#   UV_TORCH_BACKEND=cpu make env     PyTorch's CPU build on Linux (the registry's own carries CUDA, some 3 GB)
#   make test PYTEST_ARGS="-k kernel" arguments for pytest

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/up-to-date
INSTALL := -c constraints.txt -e ".[dev,test]"

# One process a core and one thread a process: threads of several processes on the same cores slow each other down.
NUM_PROCESSES ?= auto
PYTEST := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMBA_NUM_THREADS=1 $(BIN)/pytest -n $(NUM_PROCESSES) --dist worksteal
PYTEST_ARGS ?=

# The demo tags the first three clips that it did not train on.
DEMO_CLIPS = $$(awk -F, '$$6 == "eval" && n++ < 3 {print "demo_corpus/" $$2}' demo_corpus/manifest.csv)

.DEFAULT_GOAL := help
.PHONY: help env demo test test-all check format bench constraints clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: $(STAMP)  ## make or update .venv: this package (editable) and every tool, in the versions of constraints.txt

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "'$(PYTHON)' is not Python 3.11 or newer: name one that is, as in 'make env PYTHON=python3.12'" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@if $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv; then \
	  $(BIN)/uv pip install --python $(BIN)/python --build-constraints constraints.txt $(INSTALL); \
	else \
	  echo "uv is not available here; pip installs instead, more slowly" >&2; \
	  $(BIN)/python -m pip install --disable-pip-version-check $(INSTALL); \
	fi
	@touch $@

demo: $(STAMP)  ## synthesise the demo corpus, train two seeds, print their mAP, tag a sound
	$(BIN)/audio-dcls train
	$(BIN)/audio-dcls eval --mAP
	$(BIN)/audio-dcls tag $(DEMO_CLIPS) --top-k 5 --truth demo_corpus/manifest.csv

test: check  ## check, then the quick tests
	$(PYTEST) -m "not slow" $(PYTEST_ARGS)

test-all: check  ## check, then every test
	$(PYTEST) $(PYTEST_ARGS)

check: $(STAMP)  ## lint, format, types, layering, Dockerfile
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile

format: $(STAMP)  ## reformat the code, and apply the fixes of ruff
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: $(STAMP)  ## run every benchmark; each prints its claim and writes benchmarks/results/
	set -e; for file in $(sort $(wildcard benchmarks/*.py)); do echo "== $$file"; $(BIN)/python $$file; done

constraints: $(STAMP)  ## raise every version in constraints.txt but PyTorch's
	.ci/constraints $(BIN)/uv

clean:  ## remove .venv, caches and build output; runs/ and demo_corpus/ stay
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
