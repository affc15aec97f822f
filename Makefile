# The two commands of the README are `make campaign` and `make test`; both set up first, and only what is missing.
.PHONY: setup campaign test check
CAMPAIGN ?= campaigns/first.yaml
export PYTHON ?= python3

setup:
	@sh scripts/setup.sh

campaign: setup
	@.venv/bin/crystalloop run $(CAMPAIGN)

test: setup
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/python -m pytest $(PYTEST)
