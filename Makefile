# insitu: everything a developer does, by one name each. `make help` lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
BIN := .venv/bin
OUT ?= demo-out
# Further arguments for pytest: make test PYTEST="-k table -x"
PYTEST ?=
# How many files are tested at once; 0: one after the other, in this process.
WORKERS ?= auto

.DEFAULT_GOAL := setup
.PHONY: setup demo test lint check bench specs lock coverage mutation system clean help

setup: .venv/made ## the virtual environment in .venv (the default); .venv/bin/insitu is the command

demo: setup ## personalize a module: over a serial line, over TCP, and with the card in a token
	$(BIN)/insitu demo --link serial --out $(OUT)/serial
	$(BIN)/insitu demo --link tcp --out $(OUT)/tcp
	scripts/system openssl softhsm2 opensc
	$(BIN)/insitu demo --link tcp --card pkcs11 --out $(OUT)/token

test: setup system ## all checks and the whole test suite
	scripts/lint
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile $(PYTEST)

lint: setup ## all checks that do not run the code
	scripts/lint

check: setup system ## every search of the protocol in its quick form, a quarter of an hour; the reports go to CHECKED
	mkdir -p $(CHECKED)
	$(BIN)/insitu check --json > $(CHECKED)/check.jsonl & searched=$$!; { \
	$(BIN)/insitu check --mutants --json > $(CHECKED)/mutants.jsonl && \
	$(BIN)/insitu fuzz all --seconds 2 --engine built-in --out $(CHECKED)/fuzz-findings --json > $(CHECKED)/fuzz.jsonl && \
	$(BIN)/python specs/spin/search.py --whole --json > $(CHECKED)/spin.jsonl; } || besides=$$?; \
	wait $$searched; exit $${besides:-0}
	$(BIN)/python -m pytest --numprocesses $(WORKERS) -m long --junit-xml $(CHECKED)/long.xml tests > $(CHECKED)/long.txt
	$(BIN)/python tests/branches.py --jobs 2 --json > $(CHECKED)/coverage.jsonl
	$(BIN)/insitu simulate --seeds 1000000 --modules 12 --hours 0.3 --lives 10000 --seconds 160 --jobs 2 --json > $(CHECKED)/simulate.jsonl
	$(BIN)/python specs/assurance.py $(CHECKED) $(CHECKED)/assurance.json
CHECKED ?= checked

bench: setup ## what things cost, measured side by side; writes bench.json
	$(BIN)/python benchmarks/run.py

specs: setup ## write anew what specs/ and docs/ take from the code: diagrams, Promela, CDDL, example, options, XFS4IoT, figures
	$(BIN)/python specs/generate.py
	$(BIN)/python specs/spin/promela.py
	$(BIN)/python -m insitu.protocol.messages.cddl > specs/messages.cddl
	$(BIN)/python specs/example.py
	$(BIN)/python specs/options.py
	$(BIN)/python specs/assurance.py
	$(BIN)/python -m insitu.embed.xfs > docs/xfs4iot.md
	$(BIN)/python tests/plugins/fuzz_corpus.py

coverage: setup ## every branch of engine, codec, channel and parties by their own tests, every row of every table; PART=codec
	$(BIN)/python tests/branches.py $(PART)

mutation: setup ## small mistakes made on purpose in PART (engine, codec, channel or parties): does a test notice? Minutes to hours
	$(BIN)/python tests/mutation.py $(or $(PART),engine) $(SAMPLE)
PART ?=
SAMPLE ?= --sample 100

lock: setup ## write the lock files anew; UPGRADE=--upgrade takes newer versions
	$(LOCK) --extra serial --extra central --extra postgres --extra pake --extra qr --extra pkcs11 --output-file requirements.lock
	$(LOCK) --extra serial --extra central --extra postgres --extra pake --extra qr --extra pkcs11 --extra fuzz --group test --group lint --output-file requirements-dev.lock
LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate $(UPGRADE) pyproject.toml
UPGRADE ?=

system: ## Debian packages that the tests need (root or sudo)
	scripts/system

clean: ## remove what was built, installed or measured
	rm -rf .venv build dist $(OUT) $(CHECKED) bench.json .coverage* .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
	find src -name '*.egg-info' -prune -exec rm -rf {} +

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

.venv/made: requirements-dev.lock pyproject.toml scripts/setup scripts/find-python
	scripts/setup
