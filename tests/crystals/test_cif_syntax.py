"""CIF as text: blocks, quotes, line ends, encodings, magnetic files, and texts that mean harm."""

import pytest
from cif_texts import CESIUM, SPINEL, cell, cif, group, sites
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crystalloop.models.formats.cif import CifError, read_cif
from crystalloop.models.formats.crystal_read import CrystalRead

OTHER = CESIUM.replace("data_x", "data_y").replace("4.12", "4.2")


def refusal(text, block=None):
    with pytest.raises(CifError) as refused:
        read_cif(text, block)
    return str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        CESIUM.replace("\n", "\r"),
        CESIUM.replace("\n", "\r\n"),
        "\ufeff" + CESIUM,
        CESIUM.replace(" ", "\t"),
        CESIUM + "\x0c\x1a",
        CESIUM.upper().replace("CS1 CS", "Cs1 Cs"),
        CESIUM.replace("data_x", "data_"),
        CESIUM.replace("Cl1 Cl", "'Cl1' \"Cl\" # a comment\n"),
        CESIUM.replace("_atom_site_", "_atom_site."),
        "global_\n_a 1\n" + CESIUM,
        CESIUM + "save_frame\n_atom_site_fract_x 1\nsave_\n",
        CESIUM.rstrip() + "\nstop_\n",
        CESIUM + "data_profile\n_pd_meas_counts_total 7\n",
        "#\\#CIF_2.0\n" + CESIUM,
        CESIUM + "_x Universit\u00e9\n_y '\ud800'\n",
        "data_x\n_note\n;\nloop_\n_atom_site_fract_x\n.3\ndata_z\n_cell_length_a 9\n;\n" + CESIUM[7:],
        CESIUM + f"_x '{'a' * 10**6}'\n",
    ],
)
def test_the_same_crystal_in_every_form_of_text(text):
    read = read_cif(text)
    assert read.structure.composition.formula == "Cs1 Cl1" and read.structure.volume == pytest.approx(4.12**3)
    assert not read.notes


def test_of_several_crystals_one_is_named_and_never_the_last_is_taken():
    assert refusal(CESIUM + OTHER).startswith("holds 2 crystals (x, y)")
    assert read_cif(CESIUM + OTHER, block="x").structure.volume == pytest.approx(4.12**3)
    assert read_cif(CESIUM + OTHER, block="data_Y").structure.volume == pytest.approx(4.2**3)
    assert "no data block is named 'z'; it has x, y" in refusal(CESIUM + OTHER, "z")
    assert "'p' holds no atoms" in refusal(CESIUM + "data_p\n_a 1\n", "p")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no data block"),
        ("dear reader", "no data block"),
        ("data_x\n", "no atoms (_atom_site_fract_x)"),
        (CESIUM[:40] + "\0" + CESIUM[40:], "character 41 is NUL"),
        (CESIUM + CESIUM, "duplicate block name: x"),
        (CESIUM + "_cell_length_a 5\n", "duplicate tag _cell_length_a"),
        (CESIUM + "_cell.length_a 5\n", "are one name and differ"),
        (CESIUM + "Na\n", "Wrong number of values in loop"),
        (CESIUM + "_x [1 2 3]\n", "of CIF 2 are not read"),
        (CESIUM + "_x '''a\nb'''\n", "of CIF 2 are not read"),
        (CESIUM + "_x 'open\n", "unterminated"),
        (CESIUM + "_cell_modulation_dimension 1\n", "modulated structure"),
        (
            CESIUM.replace("_atom_site_fract_z\n", "").replace(" 0 0 0", " 0 0").replace(".5 .5 .5", ".5 .5"),
            "fract_z is",
        ),
    ],
)
def test_what_is_no_crystal_is_one_sentence(text, words):
    assert words in refusal(text)


HARM = {
    "operations": cif(group(operations=["x,y,z"] * 10**5), cell(4.12), sites("Cs1 Cs 0 0 0")),
    "translations": cif(group(operations=[f"x+{i}/5040,y,z" for i in range(5040)]), cell(4.12), sites("Cs1 Cs 0 0 0")),
    "sites": CESIUM + "Cs1 Cs 0 0 0\n" * 10**5,
    "atoms": cif(group("P m -3 m"), cell(60), sites(*[f"Cs{i} Cs {i / 2000} .1 .23" for i in range(1999)])),
    "digits": CESIUM.replace("Cl .5", "Cl " + "5" * 10**5),
    "symbol": CESIUM.replace("'P 1'", f"'{'F m ' * 10**5}'"),
    "part": cif(group(operations=["x,y,z", "x+" * 10**5 + "y,z,x"]), cell(4.12), sites("Cs1 Cs 0 0 0")),
    "lines": "\n" * 10**6 + "_x [",
    "hall": cif(group(hall="-P " + "2ab " * 10**5), cell(4.12), sites("Cs1 Cs 0 0 0")),
}


@pytest.mark.parametrize("name", HARM)
def test_texts_that_mean_harm_are_refused_in_one_sentence(name):
    assert 0 < len(refusal(HARM[name])) < 700


ROWS = [*CESIUM.splitlines(), *cif(group("F d -3 m", 227, operations=["x,y,z"]), cell(8.08), SPINEL).splitlines()]
PIECES = (
    *".?;'\"#_,/()+-*:\0\r\n\t[{",
    *("loop_", "data_y", "save_", "1e300", "nan", "0", "-1", "x,y,z,-1", "P 21/c", "R -3 m", "\u00e9"),
)


@pytest.mark.slow
@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.data())
def test_of_a_thousand_damaged_files_each_is_a_crystal_or_a_sentence(data):
    lines = list(ROWS[: len(CESIUM.splitlines())] if data.draw(st.booleans()) else ROWS[len(CESIUM.splitlines()) :])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        kind, piece = data.draw(st.integers(0, 4)), data.draw(st.one_of(st.sampled_from(PIECES), st.text(max_size=4)))
        cut = data.draw(st.integers(0, len(lines[at])))
        if kind == 0:
            lines[at] = lines[at][:cut] + piece + lines[at][cut:]
        elif kind == 1:
            lines[at] = lines[at].rpartition(" ")[0] + " " + piece
        elif kind == 2:
            lines.insert(at, data.draw(st.sampled_from(ROWS)))
        elif kind == 3:
            del lines[at : at + 1 + cut % 3]
        else:
            lines[at] = lines[at][:cut]
        lines = lines or [""]
    try:
        assert isinstance(read_cif("\n".join(lines)), CrystalRead)
    except CifError as refused:
        assert 0 < len(str(refused)) < 900 and not str(refused).startswith("cannot be read as CIF")


def magnetic(operations, centerings=()):
    text = "loop_\n_space_group_symop_magn_operation.id\n_space_group_symop_magn_operation.xyz\n"
    text += "".join(f"{i} {one}\n" for i, one in enumerate(operations, 1))
    if centerings:
        text += "loop_\n_space_group_symop_magn_centering.id\n_space_group_symop_magn_centering.xyz\n"
        text += "".join(f"{i} {one}\n" for i, one in enumerate(centerings, 1))
    return text


def moments(*rows):
    tags = "".join(f"_atom_site_moment.{name}\n" for name in ("label", *(f"crystalaxis_{axis}" for axis in "xyz")))
    return f"loop_\n{tags}" + "\n".join(rows) + "\n"


HALF = "x+1/2,y+1/2,z+1/2"
CENTRED, INVERTED = (["x,y,z,+1"], ["x,y,z,+1", HALF + ",+1"]), (["x,y,z,+1"], ["x,y,z,+1", HALF + ",-1"])
NICKEL = sites("Ni1 Ni 0 0 0", "Ni2 Ni 0 0 .5", "O1 O .5 .5 .25", "O2 O .5 .5 .75")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            cif(magnetic(["x,y,z,+1"]), cell(2.95, 2.95, 5.1, 73.2, 73.2, 60), NICKEL, moments("Ni1 1 0 0", "Ni2 -1 0 0")),
            [1, -1, 0, 0],
        ),
        (cif(magnetic(*INVERTED), cell(2.88), sites("Cr1 Cr 0 0 0"), moments("Cr1 0 0 3")), [3, -3]),
        (cif(magnetic(*CENTRED), cell(2.88), sites("Fe1 Fe 0 0 0"), moments("Fe1 0 0 -2.2")), [2.2, 2.2]),
        (
            cif(
                magnetic(["x,y,z,+1", "-x,-y,z,+1", "x+1/2,-y+1/2,-z+1/2,+1", "-x+1/2,y+1/2,-z+1/2,+1"]),
                cell(4.87, c=3.31),
                sites("Mn1 Mn 0 0 0", "F1 F .305 .305 0"),
                moments("Mn1 0 0 5"),
            ),
            [5, -5, 0, 0, 0, 0],
        ),
        (
            cif(
                magnetic(["x,y,z,+1"]),
                cell(2.88, c=4, gamma=120),
                sites("Fe1 Fe 0 0 0", "Fe2 Fe .3333 .6667 .5"),
                moments("Fe1 2 1 0", "Fe2 -2 -1 0"),
            ),
            [3**0.5, -(3**0.5)],
        ),
    ],
)  # fmt: skip
def test_moments_of_a_magnetic_cif_become_signed_moments_of_the_sites(text, found):
    read = read_cif(text)
    assert read.structure.site_properties["magmom"] == pytest.approx(found, abs=1e-5) and not read.notes


@pytest.mark.parametrize(
    ("parts", "note"),
    [
        ((magnetic(["x,y,z,+1"]), moments("A1 1 0 0", "A2 0 1 0")), "not collinear"),
        ((magnetic(["x,y,z,+1", "x,y,z,-1"]), moments("A1 1 0 0")), "the symmetry of site A1 turns its moment"),
        ((group("P m -3 m"), moments("A1 0 0 1")), "it lists no magnetic operations"),
        ((magnetic(["x,y,z,+1"]), "_atom_site_moment.label A1\n_atom_site_moment.Cartn_x 2\n"), "are not given as"),
    ],
)
def test_moments_that_cannot_be_used_are_a_note(parts, note):
    read = read_cif(cif(cell(2.88), *parts, sites("A1 Fe 0 0 0", "A2 Fe .5 .5 .5")))
    assert note in read.notes[0] and read.structure.site_properties == {}


@pytest.mark.parametrize(
    ("row", "words"), [("B9 1 0 0", "site B9, which is not listed"), ("A1 1 ? 0", "the moment of site A1 is '1 ? 0'")]
)
def test_moments_that_are_none_are_refused(row, words):
    assert words in refusal(cif(cell(2.88), magnetic(["x,y,z,+1"]), moments(row), sites("A1 Fe 0 0 0")))


def test_a_magnetic_group_without_operations_is_not_p1():
    text = cif(cell(2.88), sites("A1 Fe 0 0 0"), **{"space_group_magn.number_BNS": "'1.1'"})
    assert "lists no operations" in refusal(text)
