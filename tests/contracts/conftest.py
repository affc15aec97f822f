"""Contracts are asserted in files that are no test files: their assertions are to say as much as those of tests."""

from pathlib import Path

import pytest

pytest.register_assert_rewrite(*(f"contracts.{path.stem}" for path in Path(__file__).parent.glob("[!_]*.py")))
