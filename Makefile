# `make demo`: an environment, the embedded region, a report.  `make test`: the same environment, then all tests.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO := demo
# Wheels in PIP_FIND_LINKS (for example a CPU build of torch) are found by uv as by pip.
INSTALL := UV_FIND_LINKS="$${PIP_FIND_LINKS:-}" $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -c constraints.txt

.PHONY: demo test check docs notebooks bench clean

demo: $(VENV)/.installed
	$(BIN)/glacierscale demo --to $(DEMO)
	@echo "The report is at $(DEMO)/report.html"

test: demo $(VENV)/.tested
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: $(VENV)/.dev
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

docs: $(VENV)/.dev
	$(BIN)/sphinx-build -W --keep-going -n -q docs docs/_build
	@echo "The site is at docs/_build/index.html"

notebooks: $(VENV)/.tested
	$(BIN)/python -m tests.notebooks.executing

bench: $(VENV)/.tested
	for script in tests/benchmarks/bench_*.py; do $(BIN)/python $$script || exit 1; done

$(VENV)/bin/uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv

$(VENV)/.installed: $(VENV)/bin/uv pyproject.toml constraints.txt
	$(INSTALL) -e ".[dashboard]"
	touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(INSTALL) -e ".[test]"
	touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(INSTALL) -e ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) $(DEMO)
