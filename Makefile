# Every target makes .venv with what it needs when that is missing, and is quick when it is not.
# PYTHON chooses the interpreter that .venv is made from; PIP_FLAGS are passed to `pip install`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUN := $(VENV)/.run
DEV := $(VENV)/.dev
DOCS := $(VENV)/.docs
DEMO := demo
SHIPPED := src/actrec_zoo/hub/shipped/tiny_conv3d
SECONDS := 300

.PHONY: help shipped demo test test-slow contract fuzz lint wheel cards docs clean

help:
	@echo "make demo       train, evaluate, load and ask a small model on built-in clips"
	@echo "make test       everything that a change has to pass"
	@echo "make test-slow  the checks at full size"
	@echo "make contract   of those, the model contract alone"
	@echo "make fuzz       damaged files and lists, for SECONDS=300"
	@echo "make lint       ruff, mypy, import-linter"
	@echo "make cards      the model cards and the table of models, rendered anew"
	@echo "make docs       the documentation, in site/"
	@echo "make clean      remove what the other targets made, but not $(VENV)"

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# Each stamp depends on pyproject.toml: a new dependency is installed at the next call.
$(RUN): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check --quiet $(PIP_FLAGS) -e .
	@touch $@

$(DEV): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check --quiet $(PIP_FLAGS) -e '.[dev]'
	@touch $(RUN) $@

$(DOCS): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check --quiet $(PIP_FLAGS) -e '.[docs]'
	@touch $(RUN) $@

demo: $(RUN)
	@test -d $(DEMO)/motion-shapes || $(BIN)/actrec-zoo demo-data $(DEMO)/motion-shapes
	@rm -rf $(DEMO)/run
	$(BIN)/actrec-zoo train tiny_conv3d --data $(DEMO)/motion-shapes --out $(DEMO)/run
	$(BIN)/actrec-zoo eval $(DEMO)/run --data $(DEMO)/motion-shapes
	$(BIN)/python examples/ask_a_model.py $(DEMO)/run $(DEMO)/motion-shapes/grow/scene000
	@echo "Now with your own folder: $(BIN)/actrec-zoo train tiny_conv3d --data DIR"

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

test: lint
	$(BIN)/python -m pytest -m "not slow" --numprocesses auto --maxprocesses 4 --dist loadfile
	$(MAKE) wheel

test-slow: $(DEV)
	$(BIN)/python -m pytest -m slow

contract: $(DEV)
	$(BIN)/python -m pytest -m slow tests/plugins/test_contract.py

fuzz: $(DEV)
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS)

wheel: $(DEV)
	$(BIN)/python tests/check_wheel.py

cards: $(RUN)
	$(BIN)/actrec-zoo card --write --folder model_cards --page docs/reference/models.md

# The weights that come with the package: the demo's model, trained and evaluated anew.
shipped: $(RUN)
	@test -d $(DEMO)/motion-shapes || $(BIN)/actrec-zoo demo-data $(DEMO)/motion-shapes
	@rm -rf $(DEMO)/run
	$(BIN)/actrec-zoo train tiny_conv3d --data $(DEMO)/motion-shapes --out $(DEMO)/run
	$(BIN)/actrec-zoo eval $(DEMO)/run --data $(DEMO)/motion-shapes
	cp $(DEMO)/run/model.safetensors $(DEMO)/run/config.json $(DEMO)/run/eval.json $(SHIPPED)
	$(BIN)/actrec-zoo card $(DEMO)/run > $(SHIPPED)/README.md
	@echo "Put this sha256 into src/actrec_zoo/hub/index.json:"
	sha256sum $(SHIPPED)/model.safetensors

docs: $(DOCS)
	$(BIN)/mkdocs build --strict --quiet

clean:
	rm -rf $(DEMO) build dist site .pytest_cache .mypy_cache .ruff_cache
