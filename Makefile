# make demo   segment a few photographs with the bundled model
# make test   run all tests
# Both set up what they need in .venv/ first; repeated runs are quick.
# make caffe-plugin CAFFE_ROOT=/path/to/caffe   the layer for genuine Caffe (docs/CAFFE_PLUGIN.md)
# make test-caffe   test it in a genuine Caffe, which is built first if need be

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
NATIVE := CMakeLists.txt pyproject.toml constraints.txt $(shell find caffe_layers -type f -not -path '*/tests/*' -not -path '*/bvlc/*')

CAFFE_PLUGIN := build/caffe-plugin

.PHONY: setup demo test caffe-plugin test-caffe lint format bench prototxt proto clean

setup: $(READY)

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# Editable, so that only changes of the compiled core or of the dependencies need a new run.
$(READY): $(VENV)/bin/python $(NATIVE)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	PIP_CONSTRAINT=$(CURDIR)/constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check \
		-c constraints.txt --editable '.[test,plot,lint]'
	touch $@

demo: setup
	$(BIN)/python scripts/demo.py

# As many processes as cores, each computing with one thread.
test: setup
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

caffe-plugin:
	cmake -S caffe_layers/bvlc -B $(CAFFE_PLUGIN) -DCAFFE_ROOT=$(CAFFE_ROOT) $(CMAKE_ARGS)
	cmake --build $(CAFFE_PLUGIN) --parallel
	@echo "Use it with LD_PRELOAD=$(CURDIR)/$(CAFFE_PLUGIN)/libcrfrnn_caffe.so"

test-caffe: setup
	PYTHON=$(BIN)/python scripts/build_test_caffe.sh
	$(BIN)/python -m pytest -rsP tests/test_bvlc_plugin.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	git ls-files '*.cpp' '*.hpp' '*.cu' '*.cuh' | xargs $(BIN)/clang-format --dry-run --Werror

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	git ls-files '*.cpp' '*.hpp' '*.cu' '*.cuh' | xargs $(BIN)/clang-format -i

bench: setup
	$(BIN)/python benchmarks/bench_mean_field.py
	$(BIN)/python benchmarks/bench_fcn8s.py --layers
	$(BIN)/python benchmarks/bench_load.py

# Write the committed prototxts again from python/crfasrnn/networks.
prototxt: setup
	$(BIN)/python -m crfasrnn.networks

clean:
	rm -rf build $(VENV) out
