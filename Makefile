# Every target does its own set-up: it needs make and a Python >= 3.11, no environment, nothing installed.
# What is done once is remembered in .venv/.stamps and done again only when its lock file changes.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

# Whatever environment is active, it is not ours.
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export UV_LINK_MODE := copy
export UV_SYSTEM_CERTS := 1

MODEL ?= demo
ARGS ?=
SMALL_TESTS := not system and not hf and not soak
MODEL_FILES := rempart-data/models
RESULTS := .cache/requirements

# The first of these that is 3.11 or newer and can make environments. PYTHON=/path/to/python chooses another.
PYTHONS := python3 python3.13 python3.12 python3.11 python3.14 python
PYTHON ?=

say = printf '\033[2m· %s\033[0m\n' "$(1)"

# $(call environment,FOLDER): an empty virtual environment with the installer in it.
define environment
	@python='$(PYTHON)'; \
	for candidate in $(if $(PYTHON),,$(PYTHONS)); do \
	  if "$$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	  then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo 'No Python of 3.11 or newer that can make environments is on the path (looked for: $(PYTHONS)).' >&2; \
	  echo 'Install one (Debian, Ubuntu: apt install python3 python3-venv) or say which: make PYTHON=/path/to/python' >&2; \
	  exit 1; \
	fi; \
	$(call say,$(1): $$("$$python" --version)); \
	"$$python" -m venv $(1); \
	$(1)/bin/python -m pip install --quiet $(LOCKED) -r requirements/build.txt; \
	mkdir -p $(1)/.stamps; touch $@
endef

# $(call install,FOLDER,SET): the locked set, no file without its hash, nothing compiled. uv takes 1 s where
# pip takes 13 s (local.txt, two cores), but it does not read pip's configuration: where only that
# leads to packages, pip does the same work. A set is whole, so nothing is looked for beyond it.
LOCKED := --no-deps --require-hashes --only-binary :all:
define install
	@$(call say,$(1): requirements/$(2).txt); \
	$(1)/bin/uv pip install --python $(1)/bin/python $(LOCKED) -r requirements/$(2).txt \
	|| { $(call say,uv could not; the same with pip); \
	     $(1)/bin/python -m pip install $(LOCKED) -r requirements/$(2).txt; }
	@touch $@
endef

# $(call project,FOLDER): this tree itself, editable; its dependencies are the locked ones.
define project
	@$(1)/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable . && touch $@
endef

# $(call pytest,FOLDER,MARKERS,SUITE): the results are kept for docs/requirements.md.
define pytest
	$(1)/bin/python -m pytest -m '$(2)' --durations 10 --requirements-to=$(RESULTS)/$(3).json $(ARGS)
endef

.PHONY: help setup serve test test-system test-hf soak lint format bench reference requirements lock clean

help: ## what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' Makefile

setup: .venv/.stamps/local .venv/.stamps/project .venv/.stamps/demo ## environment, locked dependencies, demo model
serve: setup ## set up, then serve the demo model (MODEL=... for another, ARGS=... for options)
	@exec .venv/bin/rempart serve '$(MODEL)' $(ARGS)

test: setup .venv/.stamps/test .venv-openai1/.stamps/openai1 ## all tests but those below
	$(call pytest,.venv,$(SMALL_TESTS),test)
test-system: setup .venv/.stamps/test system-programs ## tests with Chromium, nginx and promtool (installed when missing)
	$(call pytest,.venv,system,test-system)
test-hf: .venv-hf/.stamps/torch .venv-hf/.stamps/project ## tests of the transformers runner (1.2 GB)
	$(call pytest,.venv-hf,hf,test-hf)
soak: setup .venv/.stamps/test ## 500 kills and 20 minutes under load
	$(call pytest,.venv,soak,soak)

lint: .venv/.stamps/lint .venv/.stamps/project ## style, strict types, import contracts
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
format: .venv/.stamps/lint ## let ruff put the code in shape
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

bench: setup .venv/.stamps/bench ## the figures of docs/benchmarks.md
	.venv/bin/python -m bench $(ARGS)
reference: .venv/.stamps/local .venv/.stamps/project ## write docs/reference/ anew from the code
	.venv/bin/python docs/reference.py
requirements: .venv/.stamps/made ## write docs/requirements.md from the last full runs of the tests
	.venv/bin/python docs/requirements.py

lock: .venv/.stamps/made ## lock the dependencies anew (UPGRADE=1: newest versions)
	@compile() { $(call say,requirements/$$1.txt); \
	  .venv/bin/uv pip compile --no-config --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade) -o "requirements/$$1.txt" "$${@:2}"; }; \
	compile build requirements/build.in; \
	compile base pyproject.toml; \
	compile local pyproject.toml --extra local -c requirements/base.txt; \
	compile test pyproject.toml --extra local --extra postgres --group test -c requirements/local.txt; \
	compile lint pyproject.toml --extra postgres --group lint -c requirements/test.txt; \
	compile bench pyproject.toml --extra local --extra postgres --group test --group bench -c requirements/test.txt; \
	compile transformers pyproject.toml --extra local --extra postgres --extra transformers --group test requirements/transformers.in \
	  -c requirements/test.txt --override requirements/without-torch.txt --no-emit-package torch; \
	compile openai1 requirements/openai1.in
clean: ## remove environments and caches; keeps rempart-data/ and logs/
	rm -rf .venv .venv-hf .venv-openai1 .cache .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

.venv/.stamps/made .venv-hf/.stamps/made .venv-openai1/.stamps/made: %/.stamps/made: requirements/build.txt
	$(call environment,$*)
.venv/.stamps/local .venv/.stamps/test .venv/.stamps/lint .venv/.stamps/bench: .venv/.stamps/%: requirements/%.txt .venv/.stamps/made
	$(call install,.venv,$*)
.venv-openai1/.stamps/openai1: requirements/openai1.txt .venv-openai1/.stamps/made
	$(call install,.venv-openai1,openai1)
.venv-hf/.stamps/transformers: requirements/transformers.txt .venv-hf/.stamps/made
	$(call install,.venv-hf,transformers)
.venv-hf/.stamps/torch: requirements/torch.txt .venv-hf/.stamps/transformers
	@$(call say,.venv-hf: requirements/torch.txt (pip decides which build)); \
	.venv-hf/bin/python -m pip install -r requirements/torch.txt && touch $@
.venv/.stamps/project .venv-hf/.stamps/project: %/.stamps/project: pyproject.toml | %/.stamps/made
	$(call project,$*)

# Fetched once, checked against its SHA-256; `rempart serve demo` would do it too.
.venv/.stamps/demo: src/rempart/runners/files/demo_model.py | .venv/.stamps/local .venv/.stamps/project
	@.venv/bin/python -c 'import sys, pathlib; from rempart.runners.files.demo_model import ensure_demo_model; \
	  ensure_demo_model(pathlib.Path("$(MODEL_FILES)"), lambda line: print(line, file=sys.stderr))'
	@touch $@

.PHONY: system-programs
system-programs:
	@.ci/system-programs chromium:/usr/bin/chromium nginx:/usr/sbin/nginx prometheus:/usr/bin/promtool systemd:/usr/bin/systemd-analyze
