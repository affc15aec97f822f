"""Progress of one launch: a line per SCF that converged, and a sign of life in a long one."""

from pw_fakes import fake_table, replay, rock_salt, scf_text

from crystalloop.dft.alone.plan import widest_gap_ang
from crystalloop.dft.pw.input import pw_input_text
from crystalloop.dft.pw.launch import LaunchOptions, ScfProgress
from crystalloop.dft.pw.watch import Watch
from crystalloop.dft.recipe.settings import preset

ITERATION = "     iteration #  {}     ecut=    40.00 Ry\n     estimated scf accuracy    <       {} Ry\n"


def test_a_long_scf_gives_a_sign_of_life_less_and_less_often(tmp_path):
    said, steps = [], []

    def slow(text, folder, options):
        options.on_progress(ScfProgress(0, 29.0))
        folder.mkdir()
        options.on_progress(ScfProgress(0, 31.0))  # no output yet
        (folder / "pw.out").write_text(ITERATION.format(1, "0.5") + ITERATION.format(2, "1.2E-05"))
        for wall_s in range(32, 1000, 2):
            options.on_progress(ScfProgress(0, float(wall_s)))
        return replay(folder, scf_text(text, -100.0, 0.1))

    text = pw_input_text(rock_salt(), preset("test"), fake_table(tmp_path / "upf"), "scf")
    Watch(steps.append, said.append, slow)(text, tmp_path / "volume-1", LaunchOptions())
    assert said[0] == "step 1: pw.x sets up, 31 s in this launch"
    assert said[1] == "step 1: pw.x is in iteration 2, accuracy 1.2E-05 Ry, 92 s in this launch"
    assert len(said) == 5 and [step.number for step in steps] == [1]


def test_the_next_scf_is_told_by_its_own_iterations(tmp_path):
    said, folder = [], tmp_path / "attempt-1"

    def second(text, folder, options):
        folder.mkdir()
        done = scf_text(text, -100.0, 0.1).replace("JOB DONE", "")
        (folder / "pw.out").write_text(ITERATION.format(1, "0.5") * 9 + done + ITERATION.format(1, "0.4"))
        options.on_progress(ScfProgress(1, 40.0))
        options.on_progress(ScfProgress(1, 71.0))
        return replay(folder, done)

    text = pw_input_text(rock_salt(), preset("test"), fake_table(tmp_path / "upf"), "scf")
    Watch(lambda _: None, said.append, second)(text, folder, LaunchOptions())
    assert said == ["step 2: pw.x is in iteration 1, accuracy 0.4 Ry, 71 s in this launch"]


def test_empty_space_of_slabs_and_molecules_is_seen():
    assert widest_gap_ang(rock_salt(4.2)) < 3
    slab = rock_salt(4.2)
    slab.lattice = slab.lattice.from_parameters(4.2, 4.2, 20.0, 90, 90, 90)
    slab = slab.__class__(slab.lattice, slab.species, slab.frac_coords * [1, 1, 0.2] + [0, 0, 0.9])
    assert 17 < widest_gap_ang(slab) < 18.1
