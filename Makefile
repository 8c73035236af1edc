# The same commands by hand and in CI. `make` alone lists them.

PYTHON ?= python3.11
BIN    := .venv/bin
STAMP  := .venv/.installed
# Five workers share the tests out, since much of a test is waiting for a server; those that need one another's server
# or files stay with one of them.
SHARED_OUT = --numprocesses 5
# uv does not read pip's find-links folder (where a CPU torch may lie) by itself; the environment or pip's file names it.
LINKS   = $${PIP_FIND_LINKS:-$$($(PYTHON) -m pip config get global.find-links 2>/dev/null || true)}
# GPU=1 and GPU=0 choose torch's build with CUDA or the one for CPUs; unset, `make install` looks for an NVIDIA GPU.
ifneq ($(GPU),)
ifneq ($(GPU),$(shell cat $(STAMP) 2>/dev/null))
OTHER_BUILD = reinstall
endif
endif
# An environment holds the path at which it was made: in a folder that was moved or copied it is made anew.
ifneq ($(shell made="$$(sed -n 's/^command = .* -m venv \(--[^ ]* \)*//p' .venv/pyvenv.cfg 2>/dev/null)"; \
  test -z "$$made" || test .venv -ef "$$made" || echo elsewhere),)
OTHER_BUILD = remake
endif
# Looks at pages for what a screen reader or a keyboard cannot use; in a browser of the tests alone.
AXE = build/npm/node_modules/axe-core/axe.min.js
# Real data for tests and benchmarks, looked up by sha256; used where the folder is there.
ifeq ($(origin MODELYARD_MIRROR),undefined)
ifneq ($(wildcard ../shared/data/.),)
export MODELYARD_MIRROR := $(abspath ../shared/data)
endif
endif

# What is imported first is compiled then, and kept: half a minute in all. All of the packages take two and a half.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install reinstall remake demo check types lint quick test tests test-long test-team test-gpu browser containers bench bench-serving docs screenshots lock \
	format down clean

help:  ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP)  ## make .venv with the locked dependencies; GPU=1 or GPU=0 overrides the look for an NVIDIA GPU

remake:
	@echo ".venv was made in another folder: it is made anew"
	@rm -rf .venv

# Tests that libraries bring of themselves are 200 MB that nothing uses.
$(STAMP): requirements.lock pyproject.toml $(OTHER_BUILD)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "Python 3.11 is needed; name it: make PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || { $(PYTHON) -m venv .venv || { \
	  echo "making .venv failed; on Debian: apt-get install python3.11-venv"; rm -rf .venv; exit 1; }; }
	@test -x $(BIN)/uv || { awk '/^[^ ]/ {on = /^uv==/} on' requirements.lock >.venv/uv.txt && \
	  $(BIN)/python -m pip install -qq --disable-pip-version-check -r .venv/uv.txt; }
	@links="$(LINKS)"; export UV_FIND_LINKS=$$(echo $$links | tr ' ' ','); \
	gpu="$(GPU)" why="GPU=$(GPU)"; \
	test -n "$$gpu" || { gpu=$$(cat $@ 2>/dev/null) why="as before"; }; \
	case "$$gpu" in \
	  0|1) ;; \
	  "") if nvidia-smi -L 2>/dev/null | grep -q '^GPU' || test -e /proc/driver/nvidia/version; \
	      then gpu=1 why="an NVIDIA GPU is here (GPU=0: without)"; \
	      else gpu=0 why="no NVIDIA GPU is here (GPU=1: with CUDA)"; fi ;; \
	  *) echo "GPU=$$gpu: 0 or 1 is expected"; exit 1 ;; \
	esac; \
	if test $$gpu = 1; then \
	  echo "torch with CUDA: $$why"; \
	  sed 's/^torch==/torch===/' requirements.lock >.venv/requirements.txt; \
	else \
	  echo "torch for the CPU: $$why"; \
	  sed -e '/^# GPU only/,$$d' -e 's/^torch==[^ ]*/&+cpu/' requirements.lock >.venv/requirements.txt; \
	  sed -e '1,/^# GPU only/d' -e '/^[^ ]/!d' -e 's/==.*//' requirements.lock >.venv/gpu-only.txt; \
	  $(BIN)/uv pip uninstall -q -p $(BIN)/python -r .venv/gpu-only.txt; \
	  ls $$(echo $$links | sed 's,[^ ]*,&/torch-*+cpu-*.whl,g') >/dev/null 2>&1 || export UV_TORCH_BACKEND=cpu; \
	fi && \
	{ $(BIN)/uv pip install -q -p $(BIN)/python --no-deps -r .venv/requirements.txt || { test -z "$$UV_TORCH_BACKEND" || \
	  echo "torch's CPU build is looked for in PyTorch's own index; a folder with its wheel in PIP_FIND_LINKS does as well"; \
	  exit 1; }; } && \
	$(BIN)/uv pip install -q -p $(BIN)/python --no-deps -e . && \
	for tests in torch/test 'torch/bin/*test*' pandas/tests onnx/backend/test/data 'scipy/*/tests' 'sklearn/*/tests'; do \
	  rm -rf .venv/lib/python*/site-packages/$$tests; \
	done && \
	echo $$gpu >$@

demo: $(STAMP)  ## the whole chain on real data: stack, pipeline `digits`, a served model that answers
	@$(BIN)/modelyard demo

check: $(STAMP)  ## format, lint, types, import rules, quick tests (under two minutes; types beside the tests)
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target types quick

types: $(STAMP)
	$(BIN)/mypy

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

quick: lint
	$(BIN)/pytest -m "not slow and not long" --numprocesses 3

test:  ## everything: `check`, and the tests with servers, trainings, kills and a browser
	@$(MAKE) --no-print-directory --jobs 2 lint types tests

# One session for quick and slow ones: a worker imports torch and its like once.
tests: $(STAMP) browser
	$(BIN)/pytest -m "not long" --durations 15 $(SHARED_OUT)

test-long: $(STAMP)  ## further cases of what `make test` shows on others (minutes)
	$(BIN)/pytest -m long --durations 15 --numprocesses 2

test-team: $(STAMP)  ## the end-to-end tests with registry, flow runs and ledger on a real PostgreSQL, artifacts in S3
	$(BIN)/python -m tests.team_servers tests/endtoend --durations 15 --numprocesses 2

# The tests of the registry's pages need Chromium, the one that counts packets needs `ip`; where these cannot be had, the
# tests are skipped and say so.
browser:
	@missing=; command -v ip >/dev/null || test -x /sbin/ip || missing=iproute2; \
	for name in chromium chromium-browser google-chrome none; do ! command -v $$name >/dev/null || break; done; \
	test $$name != none || missing="$$missing chromium"; \
	test -z "$$missing" || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && export DEBIAN_FRONTEND=noninteractive && \
	  { timeout 120 apt-get update && timeout 300 apt-get install -y --no-install-recommends $$missing; } >/dev/null 2>&1; } || \
	  echo "not here, and not to be installed: $$missing; the tests that need it will be skipped"
	@test -f $(AXE) || { command -v npm >/dev/null && \
	  timeout 120 npm install --silent --no-save --ignore-scripts --no-audit --no-fund --prefix build/npm axe-core@4.14.1 >/dev/null 2>&1; } || \
	  echo "axe-core is not here, and npm does not bring it; pages are not looked at for accessibility"

test-gpu: $(STAMP)  ## trainings on this machine's GPU: every family, bf16, compile, resume, export (minutes; skipped without one)
	$(BIN)/pytest -n 0 -rs tests/gpu

containers: $(STAMP)  ## build an image with podman over a Debian base, and run it (minutes; not in `make test`)
	MODELYARD_CONTAINERS=1 $(BIN)/pytest -n 0 -rA tests/containers

bench: $(STAMP)  ## measure what the README claims about speed
	$(BIN)/python -m benchmarks

bench-serving: $(STAMP)  ## requests a second of a packaged service against what people use (needs wrk)
	$(BIN)/python -m benchmarks.serving

docs: $(STAMP)  ## build the documentation site, build/site/index.html, without the network
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "build/site/index.html; with search: $(BIN)/python -m http.server --bind 127.0.0.1 --directory build/site 8000"

screenshots: $(STAMP)  ## pictures for the site, from the running stack, with Chromium; then `make docs`
	@$(BIN)/python -m docs.screenshots

lock: $(STAMP)  ## renew requirements.lock from pyproject.toml, keeping versions that fit; UPGRADE=1: take the newest
	@links="$(LINKS)"; UV_FIND_LINKS=$$(echo $$links | tr ' ' ',') \
	  $(BIN)/python .ci/lock.py $(BIN)/uv $(if $(filter 1,$(UPGRADE)),--upgrade)

format: $(STAMP)  ## let ruff format and mend what it can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

down:  ## stop the local stack
	@test ! -x $(BIN)/modelyard || $(BIN)/modelyard down

clean: down  ## remove what was made: .venv, .modelyard, caches (data and models go with it)
	rm -rf .venv .modelyard .mypy_cache .ruff_cache .pytest_cache .import_linter_cache build *.egg-info
