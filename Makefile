# `make demo` and `make test` need Python 3.11 or later, a C++17 compiler and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Setuptools warns of every editable install; pip shows it in spite of --quiet.
INSTALL := PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet
BUILD := setup.py pyproject.toml CMakeLists.txt $(wildcard sdk/ftsdk/_native/*.cpp sdk/ftsdk/_native/*.h)
# The page is tested where there is a Chromium to show it.
COMMA := ,
PAGE := $(if $(shell command -v chromium),$(COMMA)page)
# Two processes take two thirds of the time of one; a file's tests share what they have built.
TOGETHER := -n 2 --dist loadfile
PICTURES := examples/pictures/portrait.jpg examples/pictures/portrait_forged.jpg

LOWEST := --resolution lowest-direct --python-version 3.11
RESOLVE := $(BIN)/uv pip compile --quiet --extra c2pa --extra cpu --extra serve pyproject.toml
# What a server runs on: the headless OpenCV in place of the one that pyproject.toml names.
LOCK := $(RESOLVE) requirements/headless.in --no-emit-package opencv-python --python-version 3.13 \
    --generate-hashes --custom-compile-command "make lock"

# What a model of ft-export runs on in Triton; why NumPy 1: ft_export/triton/repository.py.
TRITON := $(BIN)/uv pip compile --quiet --extra c2pa --extra cpu pyproject.toml requirements/headless.in \
    --override requirements/triton.in --no-emit-package opencv-python --python-version 3.12 \
    --python-platform x86_64-manylinux_2_28 --generate-hashes --custom-compile-command "make lock"

.PHONY: demo test lowest lint docs wheel lock audit optimum clean

demo: $(VENV)/demo.stamp
	$(BIN)/ft-analyze $(PICTURES)

test: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest $(TOGETHER)

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/docs.stamp
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

wheel: $(VENV)/release.stamp
	$(BIN)/python -m build

# Both machines of the container get the same lock, or none.
lock: $(VENV)/release.stamp
	$(LOCK) --python-platform x86_64-manylinux_2_28 --output-file requirements/serve.lock
	$(LOCK) --python-platform aarch64-manylinux_2_28 --output-file build/aarch64.lock
	cmp requirements/serve.lock build/aarch64.lock
	$(TRITON) --output-file export/ft_export/triton/requirements.txt

# The lowest versions allowed, in an environment of their own, find the forgery and import the service.
# `serve` asks for a later pydantic than the SDK does, and so comes last.
lowest: build/lowest.txt
	$(BIN)/uv venv --quiet --clear --python 3.11 build/lowest
	$(BIN)/uv pip compile --quiet $(LOWEST) --extra cpu pyproject.toml --output-file build/lowest-cpu.txt
	$(BIN)/uv pip install --quiet --python build/lowest --requirements build/lowest-cpu.txt
	$(BIN)/uv pip install --quiet --python build/lowest --no-deps .
	build/lowest/bin/ft-analyze examples/pictures/portrait_forged.jpg --json > build/lowest.json
	grep --quiet '"finding": "Manipulation suspected' build/lowest.json
	$(BIN)/uv pip install --quiet --python build/lowest --requirements build/lowest.txt
	build/lowest/bin/python -I -W error::UserWarning -c "import ftsdk.serve.app"

build/lowest.txt: pyproject.toml | $(VENV)/release.stamp
	$(RESOLVE) $(LOWEST) --output-file $@

# The environment of `ft-bench --against optimum`: optimum-onnx pins an older Transformers than the one
# that ft_export reads weights with.
optimum: benchmarks/optimum/.venv/made

benchmarks/optimum/.venv/made: benchmarks/optimum/requirements.txt
	$(PYTHON) -m venv --clear benchmarks/optimum/.venv
	benchmarks/optimum/.venv/bin/python -m pip install --quiet --requirement $<
	touch $@

audit: $(VENV)/release.stamp build/lowest.txt
	$(BIN)/pip-audit --disable-pip --no-deps -r build/lowest.txt
	$(BIN)/pip-audit --disable-pip --require-hashes -r requirements/serve.lock

clean:
	rm -rf $(VENV) build dist site *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/demo.stamp: $(BUILD) | $(BIN)/python
	$(INSTALL) -e ".[cpu]"
	touch $@

$(VENV)/test.stamp: $(BUILD) | $(BIN)/python
	$(INSTALL) torch==2.13.0
	$(INSTALL) -e ".[bench,c2pa,cpu,docs,eval,export,nf4,ray,rtx,serve,test,train,video$(PAGE)]"
	$(BIN)/python tests/support/triton.py
	touch $@

$(VENV)/docs.stamp: $(BUILD) | $(BIN)/python
	$(INSTALL) -e ".[cpu,docs]"
	touch $@

$(VENV)/release.stamp: pyproject.toml | $(BIN)/python
	$(INSTALL) --group release
	mkdir -p build
	touch $@
