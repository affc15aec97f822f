"""What a command does not need it does not import: `--help` and `plan` answer at once."""

import json
import subprocess
import sys

import pytest
import yaml

SMALL = {"name": "t", "elements": ["Li", "F"], "target": {"direction": "minimise"}}
HEAVY = {"tensorflow", "keras", "jax", "ray", "fireworks", "pymongo", "matplotlib", "jinja2", "pandas"}
SCRIPT = """
import atexit, json, sys
from crystalloop.orchestrator.cli.app import main
atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))
main()
"""


def modules(*arguments):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, timeout=120, check=True
    )
    return set(json.loads(done.stderr.splitlines()[-1]))


def test_the_list_of_commands_imports_nothing_that_computes():
    imported = modules("--help")
    assert imported & (HEAVY | {"numpy", "scipy", "pymatgen", "ase", "pydantic"}) == set()
    assert {name for name in imported if name.startswith("crystalloop.")} == {
        "crystalloop.db",
        "crystalloop.db.ledger",
        "crystalloop.db.ledger.access",
        "crystalloop.db.ledger.access.redaction",
        "crystalloop.dft",
        "crystalloop.dft.recipe",
        "crystalloop.dft.recipe.pseudo_places",
        "crystalloop.dft.recipe.user_paths",
        "crystalloop.orchestrator",
        "crystalloop.orchestrator.cli",
        "crystalloop.orchestrator.cli.app",
        "crystalloop.orchestrator.cli.exit_codes",
        "crystalloop.orchestrator.cli.options",
    }


@pytest.mark.parametrize("prototypes", [["rocksalt_B1"], ["rocksalt_B1", "CsCl_B2", "zincblende_B3"]])
def test_a_plan_imports_no_network_no_cluster_no_database_and_no_optimiser(tmp_path, pseudo_folder, prototypes):
    path = tmp_path / "t.yaml"
    path.write_text(
        yaml.safe_dump(SMALL | {"prototypes": prototypes, "dft": {"pseudos": str(pseudo_folder.resolve())}})
    )
    imported = modules("plan", str(path))
    assert imported & (HEAVY | {"scipy.optimize"}) == set()
