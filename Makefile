# Foothold's workbench. A newcomer needs two commands, `make demo` and `make test`; whoever changes
# something a third, `make check` (CONTRIBUTING.md).
# Every target sets up what it needs, with any Python from 3.11 on: make PYTHON=python3.13 setup

PYTHON ?= python3
BIN := .venv/bin
CODE := layers/foothold/foothold functions local proof tests benchmarks
# The lock is whole, so nothing is left to resolve: --no-deps. (With hashes pip would not see that
# boto3-stubs[s3] is met by the locked boto3-stubs: pypa/pip#9644.)
INSTALL := pip install --quiet --disable-pip-version-check --require-hashes --no-deps
UNREACHABLE = { echo "Packages could not be installed, see above. Is the network there? Then" \
	"the same command goes on from here."; exit 1; }
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --system-certs --custom-compile-command "make lock"

# sam, python3.x (for sam build) and foothold come from here, whether or not it is activated.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export SAM_CLI_TELEMETRY := 0
# What Python has compiled stays compiled, whatever the shell says: a process of the tests then starts
# in 5 s of processor time instead of 9 s.
export PYTHONDONTWRITEBYTECODE :=

LINTERS := lint-types lint-checkov lint-template lint-security lint-code lint-imports
.PHONY: setup demo check test prove prove-full lint $(LINTERS) local local-down bench-stores \
	bench-package bench-pipeline bench-review bench-board bench-explain lock clean
.DELETE_ON_ERROR:

setup: $(BIN)/foothold .venv-emulator/complete

demo: setup
	$(BIN)/python -m local demo

# What a change has to pass before it is pushed: every linter, and the tests that start nothing.
check: lint
	$(BIN)/python -m pytest --numprocesses 2 -m unit

test: setup .venv-checkov/complete
	$(BIN)/python -m pytest --numprocesses 3

# A sample of every proof, in minutes; SEED=n takes another. prove-full takes all of it, in less
# than an hour, and writes docs/proof.md; LINES="roles sizes" runs and writes only those.
prove: setup .venv-checkov/complete
	$(BIN)/python -m proof $(if $(SEED),--seed $(SEED))

prove-full: setup .venv-checkov/complete
	$(BIN)/python -m proof --full $(if $(SEED),--seed $(SEED)) $(LINES)

# Of this checkout, whichever one the shell is at work with.
local: setup
	$(BIN)/python -m local --state .local up

local-down: setup
	$(BIN)/python -m local --state .local down

# Two at a time; each can be asked for by itself.
lint: setup .venv-checkov/complete
	@$(MAKE) --no-print-directory --jobs 2 --keep-going --output-sync=target $(LINTERS)

lint-code: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check

lint-types: setup
	$(BIN)/mypy $(CODE)

lint-imports: setup
	$(BIN)/lint-imports

lint-security: setup
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive -ll \
		layers/foothold/foothold functions

lint-template: setup
	$(BIN)/sam validate --lint --region eu-central-1 --template-file template.yaml
	$(BIN)/cfn-lint --append-rules cfn_lint_serverless.rules -- template.yaml permissions.yaml

lint-checkov: .venv-checkov/complete
	.venv-checkov/bin/checkov --skip-download --compact --quiet \
		--file template.yaml permissions.yaml

bench-stores: setup
	$(BIN)/python benchmarks/stores.py

bench-pipeline: setup
	$(BIN)/python benchmarks/pipeline.py

bench-review: setup
	$(BIN)/python benchmarks/review.py

bench-board: setup
	$(BIN)/python -m benchmarks.board

bench-explain: setup
	$(BIN)/python -m benchmarks.explain

bench-package: setup
	$(BIN)/python benchmarks/package.py

# The locks follow pyproject.toml and requirements/*.in; a version changes only where those ask.
lock: setup
	$(LOCK) pyproject.toml requirements/build.in --extra dev --output-file requirements/dev.txt
	$(LOCK) requirements/emulator.in --output-file requirements/emulator.txt
	$(LOCK) requirements/checkov.in --output-file requirements/checkov.txt
	$(LOCK) pyproject.toml --constraint requirements/dev.txt \
		--output-file layers/dependencies/requirements.txt
	$(LOCK) layers/sam_cli/requirements.in --no-deps --constraint requirements/dev.txt \
		--output-file layers/sam_cli/requirements.txt

# What `KEEP=1 make demo` left running beside another is stopped too.
clean: local-down
	@for kept in .local-*; do \
		[ ! -d $$kept ] || $(BIN)/python -m local --state $$kept down; \
	done
	rm -rf .venv .venv-emulator .venv-checkov .aws-sam .local .local-*

# One environment for all our work; `complete` is written last, so half an environment is redone.
.venv/complete: requirements/dev.txt
	@{ command -v node && command -v npm; } >/dev/null || \
		echo "Without Node.js (node, npm) the policy tests of make test and make prove will fail:" \
		"install it before those; all else works."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Foothold needs Python 3.11 or later: make PYTHON=python3.13 setup"; exit 1; }
	@echo "Installing Foothold's tools into .venv: one to three minutes ..."
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/$(INSTALL) -r $< || $(UNREACHABLE)
	@touch $@

$(BIN)/foothold: pyproject.toml .venv/complete
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.venv-%/complete: requirements/%.txt .venv/complete
	@echo "Installing the $* into .venv-$*: about a minute ..."
	@$(BIN)/python -m venv --clear .venv-$*
	@.venv-$*/bin/$(INSTALL) -r $< || $(UNREACHABLE)
	@touch $@
