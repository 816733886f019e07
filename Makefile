# make demo   train, check and picture the main example on real data
# make test   the tests            make test-all   the slow ones too
# make check  format, lint, types  make bench      measurements against other frameworks
# Everything is installed under .venv (and .venv-bench), nothing elsewhere.

SHELL := /bin/bash
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python3.14 python; do \
	"$$p" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { command -v "$$p"; break; }; done)
VENV := .venv
BENCH_VENV := .venv-bench
BIN := $(VENV)/bin
TORCH := torch==2.13.0
# what is measured against, by the name of its environment; onnx writes the models that ONNX Runtime runs
PACKAGES_jax := jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
PACKAGES_tf := tensorflow-cpu==2.21.0 keras==3.15.1 numpy==2.4.6
PACKAGES_ort := onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
# -qq keeps pip silent save for errors
PIP_INSTALL = -m pip install -qq --disable-pip-version-check --no-input
DEMO_ARGS ?=
TEST_ARGS ?=
BENCH_ARGS ?=
WORKERS ?= auto

.PHONY: demo test test-all check format bench bench-peers clean
.DELETE_ON_ERROR:

demo: $(VENV)/.stamp-demo
	$(BIN)/python -m trine demo $(DEMO_ARGS)

test: $(VENV)/.stamp-test
	$(BIN)/python -m pytest -n $(WORKERS) --maxprocesses=4 -m "not slow" --doctest-modules tests trine $(TEST_ARGS)

test-all: $(VENV)/.stamp-test
	$(BIN)/python -m pytest -n $(WORKERS) --maxprocesses=4 --doctest-modules tests trine $(TEST_ARGS)

check: $(VENV)/.stamp-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.stamp-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: bench-peers
	$(BENCH_VENV)/trine/bin/python benchmarks/bench.py $(BENCH_ARGS)

bench-peers: $(patsubst %,$(BENCH_VENV)/%/.stamp,trine torch jax tf ort)

clean:
	rm -rf $(VENV) $(BENCH_VENV) demo-output build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis

$(VENV)/.stamp-venv:
	@test -n "$(PYTHON)" || { echo "No Python >= 3.11 with venv was found. Install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "Making $(VENV) with $(PYTHON) ..."
	@"$(PYTHON)" -m venv --clear $(VENV)
	@touch $@

$(VENV)/.stamp-demo: $(VENV)/.stamp-venv pyproject.toml
	@echo "Installing trine[demo] into $(VENV) ..."
	@$(BIN)/python $(PIP_INSTALL) -e ".[demo]"
	@touch $@

$(VENV)/.stamp-test: $(VENV)/.stamp-venv pyproject.toml
	@echo "Installing trine[test] and $(TORCH), the reference of the parity tests, into $(VENV) ..."
	@$(BIN)/python $(PIP_INSTALL) -e ".[test]"
	@$(BIN)/python $(PIP_INSTALL) $(TORCH)
	@touch $@ $(VENV)/.stamp-demo

$(VENV)/.stamp-dev: $(VENV)/.stamp-test pyproject.toml
	@echo "Installing trine[dev] into $(VENV) ..."
	@$(BIN)/python $(PIP_INSTALL) -e ".[dev]"
	@touch $@

# A plain install, not an editable one: its size is measured.
$(BENCH_VENV)/trine/.stamp: pyproject.toml $(shell find trine -name '*.py')
	@test -n "$(PYTHON)" || { echo "No Python >= 3.11 with venv was found. Name one: make PYTHON=/path/to/python3 bench" >&2; exit 1; }
	@echo "Installing trine into $(@D) ..."
	@test -x $(@D)/bin/python || "$(PYTHON)" -m venv $(@D)
	@rm -rf build
	@$(@D)/bin/python $(PIP_INSTALL) .
	@touch $@

$(BENCH_VENV)/torch/.stamp:
	@echo "Installing $(TORCH) into $(@D) ..."
	@"$(PYTHON)" -m venv --clear $(@D)
	@$(@D)/bin/python $(PIP_INSTALL) $(TORCH)
	@$(@D)/bin/python $(PIP_INSTALL) numpy
	@touch $@

$(BENCH_VENV)/jax/.stamp $(BENCH_VENV)/tf/.stamp $(BENCH_VENV)/ort/.stamp:
	@echo "Installing $(PACKAGES_$(notdir $(@D))) into $(@D) ..."
	@"$(PYTHON)" -m venv --clear $(@D)
	@$(@D)/bin/python $(PIP_INSTALL) $(PACKAGES_$(notdir $(@D)))
	@touch $@
