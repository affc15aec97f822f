# The two commands of the README are `make campaign` and `make test`; both set up first, and only what is missing.
.PHONY: setup campaign test check docs
CAMPAIGN ?= campaigns/first.yaml
ROOM ?=
export PYTHON ?= python3
TWO = -n 2 --dist loadfile --no-loadscope-reorder
LINT = .venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy

setup:
	@sh scripts/setup.sh

campaign: setup
	@.venv/bin/crystalloop run $(CAMPAIGN)

# All of it, two files of tests at a time, those with a campaign or a training first, then the tests that need the machine for
# themselves; with ROOM=pwx one folder of tests/.
test: setup
ifeq ($(ROOM),)
	@$(LINT)
	@.venv/bin/python -m pytest $(TWO) -m "not alone" $(PYTEST)
	@.venv/bin/python -m pytest -m alone $(PYTEST)
else
	@.venv/bin/python -m pytest tests/$(ROOM) $(PYTEST)
endif

# What can be known in a minute or two, on two cores: no pw.x, no Ray, no training. It needs no set-up but .venv.
check:
	@$(LINT)
	@.venv/bin/python -m pytest -q $(TWO) -m "not pw and not slow" $(PYTEST)

# The site, in site/: strictly (never with --quiet, which counts no warnings). Its tools have an environment of their own.
docs: .venv-docs/.crystalloop-lock
	@.venv/bin/python scripts/reference_pages.py
	@NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict
	@echo "site/index.html"

.venv-docs/.crystalloop-lock: requirements-docs.lock
	@$(PYTHON) -m venv .venv-docs
	@.venv-docs/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-docs.lock
	@touch $@
