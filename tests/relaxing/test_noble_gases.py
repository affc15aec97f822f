"""Noble gases: what a library thinks of their electronegativity is shown to nobody. By the command, in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

import crystalloop

SAID = """
import sys
from pathlib import Path
from crystalloop.models.formats.one_crystal import read_crystal
read = read_crystal(Path(sys.argv[1]))
print(read.structure.composition.reduced_formula, read.structure.formula, read.notes)
"""


@pytest.mark.parametrize("element", ["He", "Ne", "Ar"])
def test_no_warning_of_a_library_is_shown(tmp_path, element):
    (tmp_path / "x.vasp").write_text(f"{element}\n1.0\n0 2.6 2.6\n2.6 0 2.6\n2.6 2.6 0\n{element}\n1\nDirect\n0 0 0\n")
    done = subprocess.run(
        [sys.executable, "-c", SAID, str(tmp_path / "x.vasp")],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        cwd=Path(crystalloop.__file__).parents[1],
    )
    assert (done.stdout.strip(), done.stderr) == (f"{element} {element}1 ()", "")
