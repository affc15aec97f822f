from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pytest
from pw_fakes import Murnaghan, cell_of, fake_table, replay, scf_text
from pymatgen.core.structure import Structure

from crystalloop.dft.recipe.settings import PwSettings, preset
from crystalloop.dft.recipe.units import GPA_PER_EV_ANG3, KBAR_PER_EV_ANG3, RYDBERG_EV
from crystalloop.dft.relax.equation_of_state import Point, PoorFit, fit, in_window, next_volume
from crystalloop.dft.relax.outcome import Relaxed
from crystalloop.dft.relax.relax import relax

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
EOS = preset("test").model_copy(update={"method": "eos"})


def birch_ev(volume, v0, b_gpa, b_prime, e0=-500.0):
    """Birch (1947), in its usual form."""
    eta = (v0 / volume) ** (2 / 3) - 1
    return e0 + 9 * v0 * b_gpa / GPA_PER_EV_ANG3 / 16 * (eta**3 * b_prime + eta**2 * (2 - 4 * eta))


def points_of(v0=16.0, b_gpa=70.0, b_prime=4.3, shares=(0.94, 0.97, 1.0, 1.03, 1.06), noise=0.0):
    rng = np.random.default_rng(7)
    return [
        Point(v0 * share, birch_ev(v0 * share, v0, b_gpa, b_prime) + noise * rng.standard_normal(), 0.0)
        for share in shares
    ]


@pytest.mark.parametrize(("v0", "b_gpa", "b_prime"), [(40.5, 13.0, 3.4), (16.7, 67.0, 4.3), (11.4, 440.0, 3.7)])
def test_the_curve_that_made_the_points_is_found_again(v0, b_gpa, b_prime):
    found = fit(points_of(v0, b_gpa, b_prime), atoms=2)
    assert found.volume_per_atom_ang3 == pytest.approx(v0 / 2, rel=1e-7)
    assert found.bulk_modulus_gpa == pytest.approx(b_gpa, rel=1e-5)
    assert found.bulk_modulus_prime == pytest.approx(b_prime, rel=1e-3)
    assert found.rms_mev_per_atom < 1e-6 and found.points == 5


def test_the_quality_is_that_of_the_energies():
    shares = np.linspace(0.92, 1.08, 40)
    found = fit(points_of(shares=shares, noise=0.002), atoms=2)
    assert found.rms_mev_per_atom == pytest.approx(1.0, rel=0.3)  # 2 meV in a cell of two atoms


def test_without_a_minimum_among_the_points_there_is_no_fit():
    with pytest.raises(PoorFit, match="no minimum between"):
        fit(points_of(shares=(1.05, 1.07, 1.09, 1.11, 1.13)), atoms=2)
    with pytest.raises(PoorFit, match="4 volumes"):
        fit(points_of(shares=(0.97, 1.0, 1.03, 1.06)), atoms=2)


def test_volumes_that_are_there_are_not_computed_again():
    have = points_of(shares=(0.975, 1.0, 1.035))
    wanted = []
    while (volume := next_volume(have, 16.0, 2)) is not None:
        wanted.append(volume / 16.0)
        have.append(points_of(shares=(volume / 16.0,))[0])
    assert wanted == pytest.approx([0.94, 1.06])
    assert [point.volume_ang3 for point in in_window([*have, *points_of(shares=(1.3,))], 16.0)] == pytest.approx(
        [15.04, 15.6, 16.0, 16.56, 16.96]
    )


def test_a_poor_fit_gets_two_more_volumes_and_no_more():
    rough = points_of(noise=0.05)
    wanted = []
    while (volume := next_volume(rough, 16.0, 2)) is not None:
        wanted.append(volume / 16.0)
        rough.append(points_of(shares=(volume / 16.0,))[0])
    assert wanted == pytest.approx([0.91, 1.09])


def test_a_volume_that_failed_is_not_tried_again():
    assert next_volume(points_of(shares=(0.97, 1.0, 1.03, 1.06)), 16.0, 2, failed_ang3=[0.94 * 16.0]) == pytest.approx(
        0.91 * 16.0
    )


class Birch(Murnaghan):
    """Launches on a Birch-Murnaghan curve, energies and pressures; fails below a volume if told so."""

    def __init__(self, v0_ang3, b_gpa=67.0, fails_below=0.0, sizes=None):
        super().__init__(v0_ang3)
        self.b_gpa, self.fails_below, self.sizes, self.inputs = b_gpa, fails_below, sizes or {}, []

    def __call__(self, input_text, folder, options):
        volume = abs(np.linalg.det(cell_of(input_text)))
        self.launches.append(folder.name)
        self.inputs.append(input_text)
        if volume < self.fails_below:
            return replay(folder, "     Program PWSCF v.6.7MaX starts\n", returncode=-9)
        step = 1e-4 * volume
        mesh = input_text.split("K_POINTS automatic\n")[1].split(" 0 0 0")[0].strip()
        v0 = self.sizes.get(mesh, self.v0_ang3)
        energies = [birch_ev(volume + d, v0, self.b_gpa, 4.3) for d in (-step, 0.0, step)]
        pressure = -(energies[2] - energies[0]) / (2 * step) * KBAR_PER_EV_ANG3
        return replay(folder, scf_text(input_text, energies[1] / RYDBERG_EV, pressure))


def rock_salt(a_ang):
    half = a_ang / 2
    return Structure([[0, half, half], [half, 0, half], [half, half, 0]], ["Li", "F"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def go(run, folder, a_ang, settings=EOS):
    return relax(rock_salt(a_ang), settings, fake_table(folder / "upf"), folder / "run", run=run, now=lambda: NOON)


@pytest.mark.parametrize("a_ang", [3.8, 4.07, 4.3])
def test_method_eos_gives_the_bulk_modulus_and_the_same_crystal(tmp_path, a_ang):
    with_curve, without = Birch(4.06**3 / 4), Birch(4.06**3 / 4)
    found = go(with_curve, tmp_path / "eos", a_ang)
    plain = go(without, tmp_path / "auto", a_ang, preset("test"))
    assert isinstance(found, Relaxed) and isinstance(plain, Relaxed)
    assert found.a_ang == plain.a_ang and found.energy_ev == plain.energy_ev
    assert plain.equation is None
    assert found.equation.bulk_modulus_gpa == pytest.approx(67.0, rel=0.02)
    assert found.equation.volume_per_atom_ang3 == pytest.approx(4.06**3 / 8, rel=1e-3)
    assert 5 <= found.equation.points <= 7
    assert len(with_curve.launches) > len(without.launches)
    assert found.cpu_s == 2.0 * len(with_curve.launches)
    assert "B 6" in found.attempts[-1].detail
    assert abs(found.pressure_kbar) <= EOS.press_conv_thr_kbar


def test_every_volume_of_a_curve_has_the_same_k_mesh(tmp_path):
    run = Birch(4.06**3 / 4)
    go(run, tmp_path, 4.25)
    meshes = {text.split("K_POINTS automatic\n")[1] for text, name in zip(run.inputs, run.launches, strict=True)
              if name.startswith("eos-")}  # fmt: skip
    at_zero = [text for text, name in zip(run.inputs, run.launches, strict=True) if name.startswith("volume-")][-1]
    assert meshes == {at_zero.split("K_POINTS automatic\n")[1]}


def test_the_mesh_stays_where_a_small_step_would_change_it(tmp_path):
    # At 4.06 angstrom the reciprocal edge of the primitive cell is 2.6805/angstrom: 7 points below, 6 above. Each mesh
    # sends the crystal to where the other one holds.
    boundary = preset("test").model_copy(update={"kspacing_inv_ang": 2.6805 / 6})
    run = Birch(4.06**3 / 4, sizes={"7 7 7": 4.07**3 / 4, "6 6 6": 4.05**3 / 4})
    assert isinstance(go(run, tmp_path, 4.08, boundary), Relaxed)
    assert len(run.launches) <= 6
    meshes = [text.split("K_POINTS automatic\n")[1] for text in run.inputs]
    assert sum(one != other for one, other in pairwise(meshes)) <= 1  # it goes over once, and never back


@pytest.mark.parametrize("a_ang", [4.0, 4.06, 4.20])
def test_the_mesh_at_the_end_is_that_of_the_crystal_that_was_found(tmp_path, a_ang):
    # 6 points are enough above 4.03 angstrom, 7 needed below: those who come from there change the mesh at the end.
    settings = preset("test").model_copy(update={"kspacing_inv_ang": 10.883 / 4.03 / 6})
    run = Birch(4.06**3 / 4, sizes={"6 6 6": 4.06**3 / 4, "7 7 7": 4.058**3 / 4})
    found = go(run, tmp_path, a_ang, settings)
    assert len(run.launches) <= 5
    assert "6 6 6 0 0 0" in run.inputs[-1]
    assert found.a_ang == pytest.approx(4.06, abs=0.01)


class Jumping(Birch):
    """As Birch, with a pressure that jumps by some kbar from volume to volume; the same volume always has the same one."""

    def __call__(self, input_text, folder, options):
        volume = abs(np.linalg.det(cell_of(input_text)))
        self.launches.append(folder.name)
        jump = np.random.default_rng(round(1e6 * volume)).normal(0, 3.0)
        return replay(folder, scf_text(input_text, -100.0, 1700 * (self.v0_ang3 / volume - 1) + jump))


@pytest.mark.parametrize("a_ang", [3.95, 4.03, 4.1, 4.2])
def test_where_the_pressure_jumps_the_mean_of_some_volumes_is_found(tmp_path, a_ang):
    run = Jumping(4.06**3 / 4)
    found = go(run, tmp_path, a_ang, preset("test").model_copy(update={"press_conv_thr_kbar": 0.2}))
    assert isinstance(found, Relaxed)
    assert found.a_ang == pytest.approx(4.06, rel=1e-3)
    assert len(run.launches) <= 14
    if abs(found.pressure_kbar) > 0.2:
        assert "jumps of" in found.attempts[-1].detail


def test_without_its_curve_a_relaxation_still_stands(tmp_path):
    found = go(Birch(4.06**3 / 4, fails_below=0.98 * 4.06**3 / 4), tmp_path, 4.1)
    assert isinstance(found, Relaxed) and found.equation is None
    assert "no equation of state" in found.attempts[-1].detail


def test_asking_for_the_curve_is_another_calculation():
    assert EOS.physics() != preset("test").physics()
    assert PwSettings(method="vc-relax").physics() == PwSettings().physics()
    assert (
        not PwSettings(method="vc-relax").follows_the_volume and not PwSettings(always_vc_relax=True).follows_the_volume
    )
