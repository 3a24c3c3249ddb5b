# make demo: from a fresh clone to a trained and tried process reward model, on a CPU.  make test, make lint.
PYTHON ?= python3
VENV ?= .venv
INSTALLED := $(VENV)/installed-$(shell cat requirements.txt requirements-shared.txt requirements-direct.txt pyproject.toml | cksum | cut -d' ' -f1)
WORKERS ?= 3
# Compiled modules are kept, whatever the environment says: hundreds of processes would compile them again.
PYTEST := PYTHONDONTWRITEBYTECODE= $(VENV)/bin/python -m pytest -q -n $(WORKERS) --dist loadscope --no-loadscope-reorder

.PHONY: demo demo-dpo test test-fast test-peer test-faults lint docs install peer

demo: install
	$(VENV)/bin/python -m llm demo

# After make demo: a policy is fine-tuned, and trained on pairs that the reward model ranks.
demo-dpo: install
	$(VENV)/bin/python -m llm demo-dpo

# All tests. Those of a file stay in one process, where they share what its fixtures made; the long files come first.
test: install
	$(PYTEST)

# Between commits: without the tests that train or start processes, and without the slow ones.
test-fast: install
	$(PYTEST) -m "not runs and not slow and not gpu"

# What python -m llm export writes, read by transformers 4 and 5; and scores of published models, computed by them. Each has an environment of its own, made once.
PEERS := $(VENV)/transformers-4.55.4 $(VENV)/transformers-5.24.0
test-peer: install $(addsuffix /installed,$(PEERS))
	LLM_TRANSFORMERS_PYTHONS="$(addsuffix /bin/python,$(PEERS))" $(VENV)/bin/python -m pytest -q tests/export/test_transformers.py \
	    tests/scoring/test_published_with_transformers.py

# Kills, flipped bits, truncations, planted pickles and changed files by the thousand; docs/faults.md has the table.
test-faults: install
	$(VENV)/bin/python -m tests.faults --seed $(or $(SEED),0) --count $(or $(COUNT),10000)

$(VENV)/transformers-%/installed: tests/export/transformers-%.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install -r $<
	touch $@

lint: install
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

# Pages and schema that are generated from the code.
docs: install
	$(VENV)/bin/python docs/generate_reference.py

# TRL, each release in an environment of its own, for python -m llm benchmark peer, scoring and answers.
peer: $(VENV)/trl-0.21.0/installed $(VENV)/trl-1.16.0/installed

$(VENV)/trl-%/installed: llm/benchmark/peer/trl-%.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install -r $<
	touch $@

install: $(INSTALLED)

# Installed once for a set of requirements; again when they change.
$(INSTALLED):
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 10) <= v <= (3, 12) else \
	    "Python %d.%d is not supported: make PYTHON=python3.11 (3.10 to 3.12)" % v)'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install -r requirements.txt
	$(VENV)/bin/python -m pip install --no-deps --editable .
	rm -f $(VENV)/installed-*
	touch $@
