import json

import numpy as np
import pytest
from pw_fakes import FIXTURES

from crystalloop.dft.pw.output import parse_pw_output
from crystalloop.dft.recipe.units import RYDBERG_EV


def read(name, cut=None):
    folder = FIXTURES / name
    xml = folder / "pw.xml"
    return parse_pw_output(
        xml.read_text()[:cut] if xml.exists() else None,
        (folder / "pw.out").read_text()[:cut],
        (folder / "pw.err").read_text(),
        json.loads((folder / "expected.json").read_text())["returncode"],
    )


def test_a_vc_relax_is_read_with_the_fresh_cell_last():
    output = read("success")
    assert output.job_done and output.scf_converged and output.relax_converged and output.final_scf
    assert (output.n_scf, output.steps, output.version, output.symmetries) == (5, 3, "6.7MaX", 48)
    assert output.last.pressure_kbar == pytest.approx(-0.14, abs=0.005)
    assert output.last.structure.volume == pytest.approx(output.cycles[-2].structure.volume, rel=1e-6)
    assert output.cycles[0].structure.volume == pytest.approx(4.1**3 / 4, rel=1e-5)
    assert [site.specie.symbol for site in output.last_structure] == ["Li", "F"]
    assert output.cpu_s > 1 and output.wall_s > 1 and output.ram_mb > 10


def test_the_same_relaxation_by_two_releases_is_read_the_same():
    old, new = read("success"), read("success_72")
    assert (new.version, new.n_scf, new.steps, new.symmetries) == ("7.2", old.n_scf, old.steps, old.symmetries)
    assert new.job_done and new.scf_converged and new.relax_converged and new.final_scf
    for cycle, former in zip(new.cycles, old.cycles, strict=True):
        assert cycle.energy_ev == pytest.approx(former.energy_ev, abs=1e-4)
        assert cycle.stress_kbar == pytest.approx(former.stress_kbar, abs=0.05)
        # 7.2 prints each contribution below the forces.
        assert cycle.forces_ev_ang == pytest.approx(former.forces_ev_ang, abs=1e-5)
        assert cycle.structure.volume == pytest.approx(former.structure.volume, rel=1e-5)
    assert new.cpu_s > 1 and new.wall_s > 1 and new.ram_mb == pytest.approx(old.ram_mb, rel=0.2)


@pytest.mark.parametrize("name", ["success", "success_72"])
def test_xml_and_stdout_agree_to_the_digits_that_stdout_has(name):
    folder = FIXTURES / name
    stdout = (folder / "pw.out").read_text()
    from_stdout = parse_pw_output(None, stdout, "", 0).last
    both = read(name).last
    assert both.energy_ev == pytest.approx(from_stdout.energy_ev, abs=1e-6)
    assert both.stress_kbar == pytest.approx(from_stdout.stress_kbar, abs=2e-3)
    assert both.structure.lattice.matrix == pytest.approx(from_stdout.structure.lattice.matrix, abs=1e-8)


def test_the_energy_is_free_of_the_smearing_to_first_order():
    last = read("nstep").last  # lithium: E0 = F + TS/2
    assert last.energy_ev > last.free_energy_ev
    text = (
        "!    total energy              =     -10.00000000 Ry\n     smearing contrib. (-TS)   =      -0.00400000 Ry\n"
    )
    assert parse_pw_output(None, text, "", 0).last.energy_ev == pytest.approx((-10 + 0.002) * RYDBERG_EV)


def test_a_spin_polarised_molecule_has_its_moment_and_forces_along_its_axis():
    output = read("success_molecule")
    assert output.magnetization == pytest.approx(2.0, abs=0.01)
    forces = output.last.forces_ev_ang
    assert forces.shape == (2, 3)
    assert forces[:, :2] == pytest.approx(np.zeros((2, 2)), abs=1e-6)
    assert forces[0, 2] == pytest.approx(-forces[1, 2], abs=1e-6)


@pytest.mark.parametrize("name", ["success", "success_molecule", "nstep", "disk_full", "false_bfgs_72"])
def test_output_cut_anywhere_is_read_as_far_as_it_goes(name):
    whole = read(name)
    size = len((FIXTURES / name / "pw.out").read_text())
    for cut in range(0, size, 211):
        output = read(name, cut)
        assert output.n_scf <= whole.n_scf
        for cycle, full in zip(output.cycles, whole.cycles, strict=False):
            assert cycle.free_energy_ev == pytest.approx(full.free_energy_ev, abs=1e-5)


def test_stars_in_place_of_numbers_are_no_numbers():
    text = "!    total energy              =     ************** Ry\n     JOB DONE."
    output = parse_pw_output("<not xml", text, "", 0)
    assert output.last is None and output.job_done


def test_long_times_are_read():
    text = "     PWSCF        :   1h 2m CPU   1d 2h 3m WALL\n"
    output = parse_pw_output(None, text, "", 0)
    assert (output.cpu_s, output.wall_s) == (3720.0, 93780.0)


def test_peer_ase_reads_the_same_energies_forces_and_stress():
    from ase.io import read as ase_read

    atoms = ase_read(FIXTURES / "success" / "pw.out", format="espresso-out")
    last = read("success").last
    assert atoms.get_potential_energy() == pytest.approx(last.free_energy_ev, abs=2e-4)  # ASE has older constants
    assert atoms.cell.array == pytest.approx(last.structure.lattice.matrix, abs=1e-5)
    assert -np.trace(atoms.get_stress(voigt=False)) / 3 * 1602.1766 == pytest.approx(last.pressure_kbar, abs=0.01)
