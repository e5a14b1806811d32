# Everything a fresh machine needs is set up by the targets themselves, in .venv, pinned by constraints.txt.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
JOBS   ?= $(shell nproc)

.PHONY: demo test lint bench soak clean
.DELETE_ON_ERROR:

demo: $(VENV)/main
	$(BIN)/shiftwright demo digits -o demo-out

test: $(VENV)/test $(VENV)/lint
	$(BIN)/pytest -n $(JOBS) --dist loadfile -m "not soak"

lint: $(VENV)/test $(VENV)/lint
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m benchmarks.lint_generated

bench: $(VENV)/bench
	$(BIN)/python -m benchmarks -o bench-out $(if $(MNIST),--mnist $(MNIST))

soak: $(VENV)/test
	$(BIN)/pytest -n $(JOBS) --dist load -m soak -rP

clean:
	rm -rf demo-out bench-out build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

# A stamp for each set of packages: installed once, and again when the pins change.
$(VENV)/python: constraints.txt
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/main: $(VENV)/python pyproject.toml
	$(BIN)/pip install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/test $(VENV)/lint $(VENV)/bench: $(VENV)/main
	$(BIN)/pip install --quiet -c constraints.txt -e ".[$(@F)]"
	touch $@
