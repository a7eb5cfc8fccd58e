# `make demo` and `make test` need Python 3.10 or later, a C++17 compiler and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Setuptools warns of every editable install; pip shows it in spite of --quiet.
INSTALL := PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet
BUILD := setup.py pyproject.toml CMakeLists.txt $(wildcard sdk/ftsdk/_native/*.cpp sdk/ftsdk/_native/*.h)
# The page is tested where there is a Chromium to show it.
COMMA := ,
PAGE := $(if $(shell command -v chromium),$(COMMA)page)
PICTURES := examples/pictures/portrait.jpg examples/pictures/portrait_forged.jpg

.PHONY: demo test lint clean

demo: $(VENV)/demo.stamp
	$(BIN)/ft-analyze $(PICTURES)

test: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/demo.stamp: $(BUILD) | $(BIN)/python
	$(INSTALL) -e ".[cpu]"
	touch $@

$(VENV)/test.stamp: $(BUILD) | $(BIN)/python
	$(INSTALL) torch==2.13.0
	$(INSTALL) -e ".[bench,c2pa,cpu,eval,export,nf4,rtx,serve,test,train$(PAGE)]"
	touch $@
