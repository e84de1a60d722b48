# Needs Python 3.11 or newer and make; everything else goes into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP_INSTALL := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check

# Several OpenMP pools on a small machine slow each other down.
export OMP_NUM_THREADS ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo notebooks test lint format docs linkcheck clean

help: ## list what can be made
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) \
	    | awk -F ':.*## ' '{ printf "  make %-9s %s\n", $$1, $$2 }'

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "seurat-tracks needs Python 3.11 or newer; $(PYTHON) is older." \
	         "Name another with: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; \
	    exit 1; }
	@echo "Setting up $(VENV) (once, some minutes)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP_INSTALL) --constraint constraints.txt --editable ".[demo,dev,docs]"
	@touch $@

demo: $(STAMP) ## lift a real clip: demo/ gets a store, a picture, an animation
	$(BIN)/seurat-tracks demo --out demo

# napari draws into a virtual display where there is no other; without one its tests
# are skipped.
DISPLAY_RUN := $(if $(DISPLAY),,$(if $(shell command -v xvfb-run),\
    xvfb-run --auto-servernum --server-args "-screen 0 1280x1024x24",))

notebooks: $(STAMP) ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab notebooks

# Tests of one file share a process, so that what a file sets up is set up once.
test: $(STAMP) ## run the tests, and every notebook
	$(DISPLAY_RUN) $(BIN)/python -m pytest -q -n 2 --dist loadfile

lint: $(STAMP) ## ruff, mypy and codespell
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell

format: $(STAMP) ## let ruff put the code in shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

SPHINX := $(BIN)/python -m sphinx -W --keep-going -n

docs: $(STAMP) ## build the documentation with its notebooks: build/docs
	$(SPHINX) -b html -D nb_execution_mode=cache docs build/docs
	@echo "Open build/docs/index.html"

linkcheck: $(STAMP) ## look whether external links of the documentation still hold
	$(SPHINX) -b linkcheck docs build/linkcheck

clean: ## remove .venv, caches, builds and the demo's files
	rm -rf $(VENV) demo build dist docs/generated docs/notebooks docs/gallery.md .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
