"""Bad structures: each is refused before pw.x starts, with a number, a sentence and the next move."""

from __future__ import annotations

import errno
import json
import re
import sys

import pytest
from pw_fakes import fake_table, replay_fixture, rock_salt
from pymatgen.core.lattice import Lattice
from pymatgen.core.periodic_table import DummySpecies
from pymatgen.core.structure import Structure

from crystalloop.dft.heal.failures import PwFailure
from crystalloop.dft.pw.input import UnreadablePath, pw_input_text
from crystalloop.dft.pw.launch import LaunchOptions
from crystalloop.dft.pw.run import PwNotFound, ScratchNotWritable, run_pw
from crystalloop.dft.recipe.pseudos import CorruptPseudo, MissingPseudo, PseudoTable
from crystalloop.dft.recipe.settings import preset
from crystalloop.dft.relax.calculation import MachineFault
from crystalloop.dft.relax.estimate import available_mb, estimate_memory_mb, too_large
from crystalloop.dft.relax.outcome import GaveUp
from crystalloop.dft.relax.preflight import preflight
from crystalloop.dft.relax.pressure_search import scaled_by_radii
from crystalloop.dft.relax.relax import relax

TEST = preset("test")


def never(*_arguments, **_options):
    raise AssertionError("pw.x was started")


def cell(lattice, *sites):
    return Structure(lattice, [symbol for symbol, _ in sites], [place for _, place in sites])


BAD = {
    "overlapping": (cell(Lattice.cubic(4.2), ("Li", [0, 0, 0]), ("F", [0.001, 0, 0])), PwFailure.ATOMS_TOO_CLOSE),
    "collapsed": (rock_salt(1.5), PwFailure.VOLUME_OUT_OF_RANGE),
    "exploded": (rock_salt(40.0), PwFailure.VOLUME_OUT_OF_RANGE),
    "scattered": (rock_salt(9.0), PwFailure.ATOMS_TOO_FAR),
    "flat": (
        cell(Lattice.from_parameters(9, 9, 9, 90, 90, 3), ("Li", [0, 0, 0]), ("F", [0.5, 0.5, 0.5])),
        PwFailure.SINGULAR_CELL,
    ),
    "endless": (
        cell(Lattice.orthorhombic(2, 2, 150), ("Li", [0, 0, 0]), ("F", [0, 0, 0.0134])),
        PwFailure.SINGULAR_CELL,
    ),
    "nameless number": (
        cell(Lattice.cubic(4.2), ("Li", [0, 0, float("nan")]), ("F", [0.5, 0.5, 0.5])),
        PwFailure.SINGULAR_CELL,
    ),
    "without volume": (
        cell([[3, 0, 0], [0, 3, 0], [3, 3, 0]], ("Li", [0, 0, 0]), ("F", [0.5, 0.5, 0.5])),
        PwFailure.SINGULAR_CELL,
    ),
    "shared site": (
        cell(Lattice.cubic(4.2), ({"Li": 0.5, "Na": 0.5}, [0, 0, 0]), ("F", [0.5] * 3)),
        PwFailure.FRACTIONAL_OCCUPANCY,
    ),
    "half-empty site": (cell(Lattice.cubic(4.2), ({"Li": 0.5}, [0, 0, 0])), PwFailure.FRACTIONAL_OCCUPANCY),
}


ONLY_THE_VOLUME = ("collapsed", "scattered")


@pytest.mark.parametrize("start", ["given", "radii"])
@pytest.mark.parametrize("name", BAD)
def test_a_bad_structure_is_refused_with_a_number_a_sentence_and_the_next_move(name, start, tmp_path):
    structure, failure = BAD[name]
    if start == "radii" and name in ONLY_THE_VOLUME:
        return  # is computed, see below
    settings = TEST.model_copy(update={"start_volume": start})
    result = relax(structure, settings, fake_table(tmp_path / "upf"), tmp_path / "run", run=never)
    assert isinstance(result, GaveUp) and result.failure is failure
    assert result.cpu_s == 0
    assert re.search(r"\d", result.reason) or name == "nameless number"
    assert "given up" not in result.reason  # nothing was tried
    assert len(result.reason.split()) > 6 and re.search("reject|choose|reduce", result.reason)


@pytest.mark.parametrize("name", ONLY_THE_VOLUME)
def test_a_cell_of_which_only_the_volume_is_wrong_is_scaled_on_request(name):
    structure, failure = BAD[name]
    assert preflight(scaled_by_radii(structure)) is None and preflight(structure)[0] is failure
    assert "start_volume: radii" in preflight(structure)[1]


def test_a_good_structure_is_not_refused():
    assert preflight(rock_salt(4.06)) is None


def test_a_cell_that_needs_more_memory_than_the_worker_has_is_refused_before_the_launch(tmp_path):
    table, large = fake_table(tmp_path / "upf"), rock_salt(4.06) * (4, 4, 4)
    large.perturb(0.1, seed=0)  # no smaller cell is the same crystal
    result = relax(large, TEST, table, tmp_path / "run", run=never, memory_mb=4000)
    assert isinstance(result, GaveUp) and result.failure is PwFailure.MEMORY_NEEDED
    assert re.search(
        r"512 atoms .* about \d+ MB, this machine or --memory-mb gives 4000; take a smaller", result.reason
    )
    assert too_large(rock_salt(4.06), TEST, table, 4000) is None
    assert too_large(rock_salt(4.06), TEST, table) is None
    assert 100 < available_mb() < 1e9


def test_the_estimate_of_memory_agrees_with_pw_within_a_fifth(pseudo_folder):
    """For LiF pw.x itself says 23.9 MB, without its program and libraries; for Fe2VAl 782 were measured."""
    table, base = PseudoTable.load(pseudo_folder), 60.0
    assert estimate_memory_mb(rock_salt(4.06), TEST, table) - base == pytest.approx(23.9, rel=0.2)
    heusler = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.7), ["Fe", "V", "Al"], [[0.25] * 3, [0] * 3, [0.5] * 3]
    )
    fast = preset("fast").model_copy(update={"magnetic": "off"})
    assert estimate_memory_mb(heusler, fast, table) == pytest.approx(782, rel=0.2)


HOSTILE = "Li'; $(touch hacked) `touch hacked` / &SYSTEM"


def test_labels_and_properties_of_sites_reach_no_input(tmp_path):
    plain = rock_salt(4.06)
    labelled = Structure(
        plain.lattice,
        plain.species,
        plain.frac_coords,
        labels=[HOSTILE] * len(plain),
        site_properties={"note": [HOSTILE] * len(plain)},
    )
    table = fake_table(tmp_path)
    assert pw_input_text(labelled, TEST, table) == pw_input_text(plain, TEST, table)


@pytest.mark.parametrize("symbol", ["X'; touch hacked", "Q$(touch hacked)", "X\n/\n&CONTROL"])
def test_an_element_that_is_none_reaches_no_input(tmp_path, symbol):
    try:
        strange = Structure(Lattice.cubic(4.2), [DummySpecies(symbol), "F"], [[0, 0, 0], [0.5] * 3])
    except ValueError:
        return  # pymatgen itself refuses it
    with pytest.raises(MissingPseudo, match="no pseudopotential"):
        relax(strange, TEST, fake_table(tmp_path / "upf"), tmp_path / "run", run=never)


def test_a_table_of_pseudopotentials_cannot_smuggle_lines_or_folders_into_the_input(tmp_path):
    for filename in ("../Li.upf", "Li.upf\nCELL_PARAMETERS", "Li upf", "'Li.upf'", "..", ""):
        row = {"filename": filename, "md5": "0" * 32, "ecutwfc": 40, "ecutrho": 320}
        (tmp_path / "table.json").write_text(json.dumps({"Li": row}))
        with pytest.raises(CorruptPseudo, match="filename"):
            PseudoTable.load(tmp_path)


def test_the_command_is_run_without_a_shell(tmp_path):
    for command in ("pw.x; touch hacked", "$(touch hacked)", "`touch hacked`"):
        with pytest.raises(PwNotFound):
            run_pw("", tmp_path / "run", LaunchOptions(command))
    options = LaunchOptions(f"{sys.executable} -c 'print(1)' ';' 'touch hacked' '|' '$(touch hacked)'")
    ran = run_pw("the input", tmp_path / "run", options)
    assert ran.stdout == "1\n" and not list(tmp_path.rglob("hacked"))


def test_a_folder_that_cannot_be_written_is_the_machines_fault(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ScratchNotWritable, match="make it writable"):
        run_pw("", tmp_path / "file" / "attempt-1", LaunchOptions(sys.executable))


def test_a_missing_pseudopotential_and_one_of_another_md5_are_named_with_the_next_move(tmp_path):
    table = fake_table(tmp_path / "upf")
    (tmp_path / "upf" / "F.upf").write_text("another")
    with pytest.raises(CorruptPseudo, match=r"md5 [0-9a-f]{32}, the table says [0-9a-f]{32}"):
        relax(rock_salt(4.06), TEST, table, tmp_path / "run", run=never)
    (tmp_path / "upf" / "F.upf").unlink()
    with pytest.raises(MissingPseudo, match=r"F.*is missing; run"):
        relax(rock_salt(4.06), TEST, table, tmp_path / "run", run=never)
    with pytest.raises(MissingPseudo, match=r"no pseudopotential for Na .*leave the element out"):
        relax(rock_salt(5.7, ("Na", "Li")), TEST, table, tmp_path / "run", run=never)


def test_an_actinide_is_the_crystals_fault_and_not_the_machines(tmp_path):
    table = fake_table(tmp_path / "upf")
    result = relax(rock_salt(5.0, ("U", "F")), TEST, table, tmp_path / "run", run=never)
    assert (
        isinstance(result, GaveUp) and result.failure is PwFailure.ACTINIDE and "leave the element out" in result.reason
    )
    assert not (tmp_path / "run").exists()


def test_a_folder_that_no_namelist_can_hold_is_the_machines_fault(tmp_path):
    for name in ("o'clock", "two\nlines", "u" * 200):
        table = fake_table(tmp_path / name)
        with pytest.raises(UnreadablePath, match="move the folder"):
            relax(rock_salt(4.06), TEST, table, tmp_path / "run", run=never)


def test_a_disk_that_is_full_while_pw_runs_is_the_machines_fault(tmp_path):
    def full(*_arguments, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(
        MachineFault, match=r"No space left on device; \d+ MB are free there.* finished launches are kept"
    ):
        relax(rock_salt(4.06), TEST, fake_table(tmp_path / "upf"), tmp_path / "run", run=full)


def test_a_setting_that_makes_no_input_says_its_own_next_move(tmp_path):
    low = TEST.model_copy(update={"ecutwfc_ry": 20.0, "ecutrho_ry": 160.0})
    result = relax(rock_salt(4.06), low, fake_table(tmp_path / "upf"), tmp_path / "run", run=never)
    assert isinstance(result, GaveUp) and result.reason.endswith("or raise them")


def test_scratch_that_stays_full_ends_as_the_machines_fault_after_one_more_launch(tmp_path):
    launched = []

    def full(_text, folder, _options):
        launched.append(folder)
        return replay_fixture("disk_full", folder)

    with pytest.raises(MachineFault, match=r"error writing file.* MB are free.* make room"):
        relax(rock_salt(4.06), TEST, fake_table(tmp_path / "upf"), tmp_path / "run", run=full)
    assert len(launched) == 2
