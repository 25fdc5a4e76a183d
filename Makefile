# make demo: a raw dump becomes a fine-tuned model.  make test slow: everything is checked.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
DEMO := .demo

.PHONY: demo test slow lint fuzz bench docs wheel clean

$(VENV)/.train: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --constraint constraints.txt --editable ".[train]"
	touch $@

$(VENV)/.dev: $(VENV)/.train
	$(PIP) install --quiet --constraint constraints.txt --editable ".[train,dev]"
	touch $@

$(VENV)/.serving: $(VENV)/.dev
	$(PIP) install --quiet --constraint constraints.txt --editable ".[train,dev,serving,ray]"
	touch $@

demo: $(VENV)/.train
	PATH="$(abspath $(BIN)):$$PATH" sh sample_data/demo.sh $(DEMO)

test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile

slow: $(VENV)/.serving
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# make fuzz SECONDS=60 [SEED=1a2b3c4d] [FUZZER=rows]: so long for each fuzzer, or for this one alone.
SECONDS ?= 60
fuzz: $(VENV)/.dev
	$(BIN)/python -m fuzz --seconds $(SECONDS) $(if $(SEED),--seed $(SEED)) $(if $(FUZZER),--fuzzer $(FUZZER))

bench: $(VENV)/.dev
	for script in $$(grep -l __main__ benchmarks/*.py); do echo "== $$script"; $(BIN)/python $$script || exit 1; done

docs: $(VENV)/.dev
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/sessions.py

wheel: $(VENV)/.dev
	$(BIN)/python -m build --wheel --no-isolation --outdir dist .

clean:
	rm -rf $(VENV) $(DEMO) dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis
