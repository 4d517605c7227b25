# Everything that people and CI run here. Each target sets up what it needs in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
OUT ?= out/bench
BOARDS := $(sort $(patsubst %/tables/tuned.csv,%,$(wildcard results/*/tables/tuned.csv)))
PUBLISHED := $(patsubst %/cells/,%,$(wildcard results/*/cells/)) $(patsubst %/prepared.json,%,$(wildcard results/recommend/*/prepared.json))

.PHONY: bench test test-examples fuzz test-slow timing-gpu check format report report-check docs clean

bench: $(VENV)/.run  ## the embedded benchmark matrix: leaderboard, figures, report
	$(BIN)/nsbench run bench --out $(OUT)
	$(BIN)/nsbench leaderboard $(OUT)
	$(BIN)/nsbench plot $(OUT)
	$(BIN)/nsbench report $(OUT)

test: $(VENV)/.dev  ## the whole quick test suite
	$(BIN)/python -m pytest -q -n 2

test-examples: $(VENV)/.dev  ## the plugin installed from its folder, the script of the docs
	$(BIN)/python -m pytest -q -m slow tests/test_docs_output.py tests/benchmarks/testing/test_plugins.py -k example

fuzz: $(VENV)/.dev  ## a minute of random input for each of: matrices, data, records, merges, --only, mining
	NSBENCH_FUZZ_SECONDS=60 $(BIN)/python -m pytest -q -n 2 tests/test_fuzz.py

test-slow: $(VENV)/.dev  ## the tests that take minutes
	$(BIN)/python -m pytest -q -m slow

timing-gpu:  ## on a machine with a CUDA device, by its own Python: check and time the GPU code
	PYTHONPATH=src $(PYTHON) -m tools.timing.gpu --out out/timing-gpu

check: $(VENV)/.dev  ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

report: $(VENV)/.dev  ## rewrite the generated tables of README, docs and CONTRIBUTING, and the results from their stored records
	$(BIN)/python -m tools.contributing CONTRIBUTING.md
	$(BIN)/nsbench rebuild $(PUBLISHED)
	$(BIN)/nsbench boards $(BOARDS) --out results/summary
	$(BIN)/python -m tools.claims results/summary
	$(BIN)/python -m tools.readme README.md docs/laws.md docs/questions.md
	$(BIN)/python -m tools.sampler_pages docs/samplers
	$(BIN)/python -m tools.component_pages docs
	$(BIN)/python -m tools.findings docs/findings.md
	$(BIN)/python -m tools.summary docs/summary.md
	$(BIN)/python -m tools.reference docs

report-check: $(VENV)/.dev  ## the stored results are what their stored records give, byte for byte
	$(BIN)/nsbench rebuild --check $(PUBLISHED)
	$(BIN)/nsbench boards --check $(BOARDS) --out results/summary
	$(BIN)/python -m tools.claims results/summary --check

docs: $(VENV)/.docs  ## the documentation site in build/site; a dead link is an error
	$(BIN)/python -m mkdocs build --strict --quiet

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else "nsbench needs Python 3.11 to 3.13, this is %d.%d" % v)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(VENV)/bin/python pyproject.toml setup.py constraints.txt
	$(PIP) --editable '.[offline]'
	touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml setup.py constraints.txt
	$(PIP) --editable '.[dev]'
	touch $@ $(VENV)/.run

$(VENV)/.docs: $(VENV)/.dev
	$(PIP) --editable '.[docs]'
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache
