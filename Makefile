# Sets itself up: only Python >= 3.10, make and a package index are assumed.
PYTHON ?= python3
VENV := .venv
E2 := $(VENV)/bin/e2
NOWHERE := http://127.0.0.1:9# a proxy that stands for a machine without network

.PHONY: quickstart test test-slow lint types docs release-check format clean

$(VENV)/ready: pyproject.toml  # what e2 itself needs
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VENV)/bin/python -m pip install --quiet --editable .
	touch $@

$(VENV)/installed: $(VENV)/ready  # and what tests, docs and checks need
	$(VENV)/bin/python -m pip install --quiet --editable '.[test]'
	touch $@

quickstart: $(VENV)/ready  ## train and compare clip and e2 on the built-in catalogue
	$(E2) quickstart --out runs/quickstart --resume

test: $(VENV)/installed  ## all tests but the slow ones, a process for each core
	$(VENV)/bin/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test-slow: $(VENV)/installed
	$(VENV)/bin/python -m pytest -m slow

lint: $(VENV)/installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: $(VENV)/installed  ## type hints
	$(VENV)/bin/mypy

docs: $(VENV)/installed  ## the site, into build/site, without the network
	http_proxy=$(NOWHERE) https_proxy=$(NOWHERE) HTTP_PROXY=$(NOWHERE) HTTPS_PROXY=$(NOWHERE) \
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict

release-check: $(VENV)/installed  ## the wheel in a clean environment
	$(VENV)/bin/python -m pytest -m slow tests/test_release.py

format: $(VENV)/installed
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache
