import pytest
from pw_fakes import fake_table
from pymatgen.core.structure import Structure
from test_equation_of_state import NOON, Birch, rock_salt

from crystalloop.db.ledger.records import Relaxation
from crystalloop.dft.heal.failures import PwFailure
from crystalloop.dft.recipe.cells import primitive_cell
from crystalloop.dft.recipe.settings import PwSettings, preset
from crystalloop.dft.relax.estimate import estimate_cpu_s
from crystalloop.dft.relax.outcome import GaveUp, Relaxed
from crystalloop.dft.relax.pressure_search import scaled_by_radii
from crystalloop.dft.relax.relax import relax
from crystalloop.dft.relax.rungs import CHEAP, Comparison, Rung, cheap_settings, rejection
from crystalloop.dft.work.stored_result import StoredResult

TWO = preset("fast").model_copy(update={"cheap_first": True})
V0 = 4.06**3 / 4


class PerMesh(Birch):
    """Coarse k points make the crystal 1 % longer."""

    def __call__(self, input_text, folder, options):
        coarse = "K_POINTS automatic\n  4 4 4" in input_text
        self.v0_ang3 = V0 * (1.03 if coarse else 1.0)
        return super().__call__(input_text, folder, options)


def go(structure, folder, run, settings=TWO, **more):
    return relax(structure, settings, fake_table(folder / "upf"), folder / "run", run=run, now=lambda: NOON, **more)


def test_the_accurate_rung_goes_on_from_the_cheap_one(tmp_path):
    run, reports = PerMesh(V0), []
    found = go(rock_salt(4.3), tmp_path, run, on_attempt=reports.append)
    assert isinstance(found, Relaxed)
    assert [rung.name for rung in found.rungs] == ["cheap", "accurate"]
    assert [rung.kspacing_inv_ang for rung in found.rungs] == [0.70, 0.45]
    cheap, accurate = found.rungs
    assert cheap.volume_per_atom_ang3 == pytest.approx(1.03 * V0 / 2, rel=0.01)
    assert accurate.volume_per_atom_ang3 == pytest.approx(V0 / 2, rel=1e-3) == found.structure.volume / 2
    assert found.cpu_s == cheap.cpu_s + accurate.cpu_s == 2.0 * len(run.launches)
    assert found.attempts == tuple(reports) and len(reports) == 2
    assert reports[0].detail.startswith("cheap rung:") and reports[0].folder != reports[1].folder
    assert found.generated_pressure_kbar < -20 and found.volume_change_percent == pytest.approx(-15.8, abs=0.3)
    alone = go(rock_salt(4.3), tmp_path / "alone", PerMesh(V0), preset("fast"))
    assert alone.rungs == () and found.a_ang == pytest.approx(alone.a_ang, rel=3e-4)


def test_both_rungs_are_stored_and_documents_without_them_are_read(tmp_path):
    found = go(rock_salt(4.1), tmp_path, PerMesh(V0))
    stored = StoredResult.of("key", found, ()).relaxation
    assert [(rung.name, rung.cpu_s) for rung in stored.rungs] == [(rung.name, rung.cpu_s) for rung in found.rungs]
    document = stored.to_document()
    assert Relaxation.from_document(document) == stored
    del document["rungs"]
    assert Relaxation.from_document(document).rungs == ()


def test_what_moves_too_far_is_rejected_before_the_accurate_rung(tmp_path):
    run, strict = PerMesh(V0), TWO.model_copy(update={"reject_volume_percent": 10.0})
    found = go(rock_salt(4.3), tmp_path, run, strict)
    assert isinstance(found, GaveUp) and found.failure is PwFailure.REJECTED_EARLY
    assert "changed the volume by -13 %" in found.reason and "reject_volume_percent 10" in found.reason
    assert all("4 4 4" in text.split("K_POINTS")[1] for text in run.inputs)
    assert found.cpu_s == 2.0 * len(run.launches) and found.last_structure is not None


def test_what_lies_far_above_its_elements_is_rejected():
    cheap, same = Rung(CHEAP, 0.7, -10.0, 8.0, 0.0, 1.0), Comparison(0.0, 0.0, 0.0)
    assert rejection(cheap, same, TWO) is None
    assert "above reject_above_ev_per_atom" in rejection(
        cheap, same, TWO.model_copy(update={"reject_above_ev_per_atom": -10.5})
    )


def test_a_crystal_that_the_cheap_rung_cannot_do_is_not_tried_on_the_accurate_one(tmp_path):
    found = go(rock_salt(1.2), tmp_path, PerMesh(V0))
    assert isinstance(found, GaveUp) and found.failure is PwFailure.VOLUME_OUT_OF_RANGE
    assert [report.detail.split(":")[0] for report in found.attempts] == ["cheap rung"]


def test_there_is_no_cheap_rung_below_the_test_preset_or_for_fixed_geometries():
    assert cheap_settings(preset("fast")) is None
    assert cheap_settings(preset("test").model_copy(update={"cheap_first": True})) is None
    assert cheap_settings(TWO.model_copy(update={"vary": "nothing"})) is None
    cheap = cheap_settings(TWO.model_copy(update={"method": "eos", "d2": True}))
    assert cheap.method == "auto" and cheap.d2 and not cheap.cheap_first and cheap.press_conv_thr_kbar == 5.0


def test_an_interrupted_relaxation_goes_on_with_the_accurate_rung(tmp_path):
    found = go(rock_salt(4.3), tmp_path, PerMesh(V0), start=rock_salt(4.1))
    assert isinstance(found, Relaxed) and found.rungs == ()


def test_rungs_and_start_do_not_change_which_calculation_it_is():
    assert TWO.physics() == preset("fast").physics() == PwSettings(start_volume="radii").physics()


@pytest.mark.parametrize("a_ang", [1.0, 4.06, 30.0])
def test_a_volume_from_radii_does_not_depend_on_the_one_given(a_ang):
    scaled = scaled_by_radii(rock_salt(a_ang))
    assert (4 * scaled.volume) ** (1 / 3) == pytest.approx(4.06, rel=0.15)
    assert scaled.volume == pytest.approx(scaled_by_radii(rock_salt(5.0)).volume, rel=1e-6)


def test_coinciding_atoms_have_no_volume():
    with pytest.raises(ValueError, match="coincide"):
        scaled_by_radii(Structure([[4, 0, 0], [0, 4, 0], [0, 0, 4]], ["Li", "F"], [[0, 0, 0], [0, 0, 0]]))


def test_a_cell_without_a_volume_from_radii_is_refused_for_its_atoms(tmp_path):
    double = Structure([[4, 0, 0], [0, 4, 0], [0, 0, 4]], ["Li", "F"], [[0, 0, 0], [0, 0, 0]])
    found = go(double, tmp_path, Birch(V0), preset("test").model_copy(update={"start_volume": "radii"}))
    assert isinstance(found, GaveUp) and found.failure is PwFailure.ATOMS_TOO_CLOSE


def test_with_a_volume_from_radii_a_collapsed_cell_is_relaxed(tmp_path):
    radii = preset("test").model_copy(update={"start_volume": "radii"})
    found = go(rock_salt(1.2), tmp_path, Birch(V0), radii)
    assert isinstance(found, Relaxed) and found.a_ang == pytest.approx(4.06, abs=0.01)
    assert found.generated_pressure_kbar is None  # nobody computed the crystal as generated
    assert len(primitive_cell(found.structure)) == 2


def test_a_second_rung_and_a_curve_are_in_the_estimate(tmp_path):
    table, fast = fake_table(tmp_path), preset("fast")
    alone, test = (estimate_cpu_s(rock_salt(4.1), settings, table) for settings in (fast, preset("test")))
    assert estimate_cpu_s(rock_salt(4.1), TWO, table) == pytest.approx(alone + test)
    curve = fast.model_copy(update={"method": "eos"})
    assert estimate_cpu_s(rock_salt(4.1), curve, table) == pytest.approx(2 * alone)
