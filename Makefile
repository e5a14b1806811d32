# Everything a fresh machine needs is set up by the targets themselves: Debian packages by scripts/setup where it can,
# Python packages in .venv, pinned by constraints.txt.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
JOBS   ?= $(shell nproc)
# Where pip finds torch; empty: where it finds the rest. PyTorch's own index of CPU builds saves 5.8 GB of CUDA:
# https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=

.PHONY: demo demo-radio test lint bench soak mutate clean
.DELETE_ON_ERROR:

demo: $(VENV)/main
	$(BIN)/shiftwright demo digits -o demo-out

# A neural demapper and a neural equaliser: bit error rates of their RTL over Eb/N0, losses in dB.
demo-radio: $(VENV)/main
	$(BIN)/shiftwright demo radio -o demo-radio-out

test: tools-test $(VENV)/test $(VENV)/lint
	$(BIN)/pytest -n $(JOBS) --dist loadfile -m "not soak"

lint: $(VENV)/test $(VENV)/lint
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m benchmarks.lint_generated

bench: tools-bench $(VENV)/bench
	$(BIN)/python -m benchmarks -o bench-out $(if $(MNIST),--mnist $(MNIST))

soak: tools-soak $(VENV)/test
	$(BIN)/pytest -n $(JOBS) --dist load -m soak -rP

# A sample of each room; ALL=1 tries every mutant. Stopped at any time, it goes on from mutate-out/.
mutate: tools-test $(VENV)/test
	$(BIN)/python -m benchmarks.mutation -o mutate-out --jobs $(JOBS) $(if $(ALL),--all)

clean:
	rm -rf demo-out demo-radio-out bench-out mutate-out build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

# What pip does not bring: looked at in every run, which takes no time where nothing is missing.
tools-%:
	@PYTHON="$(PYTHON)" scripts/setup $*

# A stamp for each set of packages: installed once, and again when the pins change.
$(VENV)/python: constraints.txt | tools-demo
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/main: $(VENV)/python pyproject.toml
	$(if $(TORCH_INDEX),$(BIN)/pip install --quiet --no-deps --index-url $(TORCH_INDEX) $$(grep '^torch==' constraints.txt))
	$(BIN)/pip install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/test $(VENV)/lint $(VENV)/bench: $(VENV)/main
	$(BIN)/pip install --quiet -c constraints.txt -e ".[$(@F)]"
	touch $@
