# `make demo` shows the product, `make test` is what a change must pass.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SBOM := build/sbom.json
AUDITED := locks/runtime.txt
# The last torch that the package index has for CUDA 12, for drivers older than CUDA 13's.
TORCH_CUDA12 := 2.10.0
CUDA_PACKAGES := torch|triton|nvidia-|cuda-
FAST_TESTS := tests/schemas tests/captions tests/evaluation tests/consumer/core tests/consumer/test_pipeline.py \
	tests/consumer/test_decode_window.py tests/test_public_names.py tests/test_vocabulary.py

.PHONY: help install demo test test-fast check docs lock sbom audit clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# The import writes the bytecode of what a worker loads: uv writes none, and a process that may not
# write it either compiles torch at every start, which takes four seconds.
$(VENV)/installed: locks/dev.txt locks/uv.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --only-binary=:all: -r locks/uv.txt
	$(BIN)/uv pip install --python $(BIN)/python --require-hashes -r locks/dev.txt
	$(BIN)/uv pip install --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -c 'import consumer.service'
	@touch $@

install: $(VENV)/installed ## a virtual environment with all that the tests and benches need

demo: install ## speech through a real Kafka broker into transcripts, from nothing
	@$(BIN)/streamscribe demo $(if $(DEMO_JSON),--json $(DEMO_JSON))

check: install ## format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: check ## everything a change must pass: real broker and real Whisper included
	$(BIN)/python -m pytest --durations 25

# Property tests with a fifth of their examples; no broker, no model weights.
test-fast: install ## the pure tests, in less than a minute
	@STREAMSCRIBE_EXAMPLES=0.2 $(BIN)/python -m pytest -q $(FAST_TESTS)

docs: install ## write the pages that are made from the code
	$(BIN)/python docs/generate.py

lock: install ## resolve the dependencies anew
	$(BIN)/uv pip compile -q pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -o locks/runtime.txt
	$(BIN)/uv pip compile -q pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -o locks/dev.txt
	grep '^[a-z].*==' locks/runtime.txt | grep -vE '^($(CUDA_PACKAGES))' | sed 's/ *\\$$//' > locks/other.tmp
	echo 'torch==$(TORCH_CUDA12)' | $(BIN)/uv pip compile -q - -c locks/other.tmp --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -o locks/torch-cuda12.txt
	rm locks/other.tmp
	grep -A2000 '^uv==' locks/dev.txt | sed '/^[^ u]/,$$d;/^    # /d' > locks/uv.txt

sbom: install ## what a worker is made of, as CycloneDX: build/sbom.json
	@mkdir -p $(dir $(SBOM))
	@$(BIN)/python -W ignore -m cyclonedx_py requirements --pyproject pyproject.toml --mc-type application \
		--output-reproducible --of JSON --output-file $(SBOM) locks/runtime.txt

audit: install ## known vulnerabilities of what is locked; asks a database on the network
	@mkdir -p build && rm -f build/audit.md
	@$(BIN)/pip-audit --strict --disable-pip --require-hashes --progress-spinner off \
		--format markdown --output build/audit.md --requirement $(AUDITED) 2> build/audit.log; status=$$?; \
	if [ -s build/audit.md ]; then cat build/audit.md; \
	elif [ $$status = 0 ]; then echo "audit: no known vulnerability in $(AUDITED)"; \
	else echo "audit: the vulnerability database gave no answer: $$(tail -n 1 build/audit.log | cut -c 1-200)"; fi; \
	exit $$status

clean: ## remove what was built
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache build dist
