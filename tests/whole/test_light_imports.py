"""The GPU script and models/ need numpy, scipy, scikit-image, keras and jax alone: all that importing them imports."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIGHT = {"numpy", "scipy", "skimage", "keras"}
LATE = {"gpu", "measure"}
"""Bench files whose functions are all called on the accelerator, so that imports inside them count too."""


def source_of(module: str) -> Path | None:
    """File of one of our modules that the script can import."""
    path = (
        ROOT / "src" / (module.replace(".", "/") + ".py")
        if module.startswith("crystalloop.")
        else ROOT / "bench" / f"{module}.py"
    )
    return path if path.exists() else None


def imported(tree: ast.AST, everywhere: bool) -> set[str]:
    """Modules that a file imports when it is imported, or anywhere; those under TYPE_CHECKING never."""
    found: set[str] = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not everywhere:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
        else:
            found |= imported(node, everywhere)
    return found


def foreign(start: str) -> set[str]:
    """Top-level names of other people's packages that a module pulls in, through all of ours."""
    seen, queue, others = set(), [start], set()
    while queue:
        module = queue.pop()
        path = source_of(module)
        if path is None:
            others.add(module.partition(".")[0])
        elif module not in seen:
            seen.add(module)
            queue += imported(ast.parse(path.read_text(encoding="utf-8")), module in LATE)
    return others - set(sys.stdlib_module_names) - {"__future__", "crystalloop"}


HEAVY = {"engine_tensorflow", "engine_jax", "known"}  # each with its backend in it; StructureMatcher
MODELS = sorted(
    f"crystalloop.models.{room}.{path.stem}"
    for room in ("crystals", "maps", "nets", "draw", "learn")
    for path in (ROOT / "models" / room).glob("*.py")
    if path.stem not in HEAVY
)


@pytest.mark.parametrize("module", MODELS)
def test_a_module_of_models_imports_without_pymatgen_spglib_and_tensorflow(module):
    assert foreign(module) <= LIGHT


def test_the_gpu_script_imports_jax_and_the_light_packages_alone():
    assert foreign("gpu") == LIGHT | {"jax"}


def test_a_heavy_import_is_found_at_the_top_and_not_in_a_function():
    late = ast.parse("def f():\n    import spglib\n")
    assert imported(late, everywhere=False) == set()
    assert imported(late, everywhere=True) == {"spglib"}
    assert imported(ast.parse("try:\n    import pymatgen.core\nexcept ImportError:\n    pass"), False) == {
        "pymatgen.core"
    }
