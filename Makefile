# Every target prepares .venv from requirements.lock by itself. Needs: make, and a python3 of 3.11 to 3.13.
# Another interpreter or folder:  make test PYTHON=python3.12 VENV=.venv-3.12
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help demo test soak lint format lock bench clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    the shipped recipe on a tiny model, from nothing to a persona, on this CPU (about 3 minutes)"
	@echo "make test    all tests (CPU only, offline)"
	@echo "make soak    merges, publications and trainings killed at 20 to 25 random moments, two nodes (about 30 minutes)"
	@echo "make lint    formatting and lint"
	@echo "make format  apply the formatting"
	@echo "make bench   what the plugin costs at start-up, and the check beside LLaMA-Factory's tokenization"
	@echo "make lock    rewrite requirements.lock from pyproject.toml"
	@echo "make clean   remove .venv, outputs and caches"

demo: $(READY)
	@$(BIN)/python -m lf_registry.tiny.demo

test: $(READY)
	@$(BIN)/python -m pytest -n 2 --dist loadfile

soak: $(READY)
	@LF_REGISTRY_SOAK=20 $(BIN)/python -m pytest tests/test_merge_killed.py tests/test_publish_killed.py --timeout 1800
	@LF_REGISTRY_SOAK=25 $(BIN)/python -m pytest tests/test_resume_trainings.py tests/test_cluster.py \
		tests/test_peft_training.py tests/test_qa_price_runs.py --timeout 3600

lint: $(READY)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

format: $(READY)
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(READY)
	@$(BIN)/python benchmarks/startup.py
	@$(BIN)/python benchmarks/check.py

lock: $(READY)
	@$(BIN)/uv pip compile --universal --generate-hashes --no-header --no-annotate --all-extras --quiet \
		--python-version 3.11 pyproject.toml --output-file requirements.lock

clean:
	rm -rf $(VENV) outputs build dist .pytest_cache .ruff_cache .hypothesis

# uv comes first, with the version and hashes of the lock, and installs the rest. Compiling once saves about ten seconds
# each time LLaMA-Factory starts.
$(READY): requirements.lock pyproject.toml plugins/lf_registry_autoload.pth
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || { \
		echo "error: $(PYTHON) is not a Python of 3.11 to 3.13 ($$($(PYTHON) --version 2>&1 | head -n 1))"; \
		echo "  next: make PYTHON=python3.12 (or the path of one you have)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { \
		rm -rf $(VENV); echo "error: $(PYTHON) cannot make a virtual environment"; \
		echo "  next: install its venv module (Debian, Ubuntu: apt-get install python3-venv)"; exit 1; }
	@echo "preparing $(VENV) (about 6 GB the first time)"
	@awk '/^uv==/ {found=1} found {print} found && !/\\$$/ {exit}' requirements.lock > $(VENV)/uv.txt
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.txt
	@$(BIN)/uv pip sync --quiet --require-hashes --compile-bytecode --python $(BIN)/python requirements.lock
	@$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --python $(BIN)/python --editable .
	@$(BIN)/python -m compileall -q plugins/lf_registry
	@touch $@
