"""Outputs of pw.x with broken bytes, cut ends, cells without volume and energies that are no numbers: read, and not believed."""

from __future__ import annotations

import json
import random

import pytest
from pw_fakes import FIXTURES

from crystalloop.dft.heal.failures import PwFailure, diagnose
from crystalloop.dft.pw.output import parse_pw_output
from crystalloop.dft.recipe.settings import PwSettings

NAMES = sorted(path.name for path in FIXTURES.iterdir() if (path / "expected.json").is_file())
MUTATIONS = 1000
JUNK = [
    "NaN",
    "-Infinity",
    "********",
    "1e999",
    "0.0",
    "\ufffd",
    "\x00",
    "9" * 5000,
    "1.0D+400",
    "",
    "-",
    "Zz",
    "<",
    "&#0;",
]


def texts_of(name):
    folder = FIXTURES / name
    xml = folder / "pw.xml"
    expected = json.loads((folder / "expected.json").read_text())
    return xml.read_text() if xml.exists() else "", (folder / "pw.out").read_text(), expected["returncode"]


def mutated(text, draw):
    """One of: a byte, a word, a line gone, a line twice, a cut end, a swapped half."""
    if not text:
        return text
    at, how = draw.randrange(len(text)), draw.randrange(6)
    if how == 0:
        return text[:at] + draw.choice(["\ufffd", "\x00", "7", " ", "\n", "é", ">"]) + text[at + 1 :]
    words = text.split(" ")
    if how == 1:
        words[draw.randrange(len(words))] = draw.choice(JUNK)
        return " ".join(words)
    lines = text.split("\n")
    line = draw.randrange(len(lines))
    if how == 2:
        return "\n".join(lines[:line] + lines[line + 1 :])
    if how == 3:
        return "\n".join([*lines[: line + 1], *lines[line:]])
    return text[:at] if how == 4 else text[at:] + text[:at]


def test_a_thousand_broken_outputs_are_read_and_what_is_believed_is_whole():
    draw = random.Random(11)
    for number in range(MUTATIONS):
        xml, stdout, code = texts_of(NAMES[number % len(NAMES)])
        for _ in range(draw.randrange(1, 4)):
            xml, stdout = (mutated(xml, draw), stdout) if draw.random() < 0.3 else (xml, mutated(stdout, draw))
        output = parse_pw_output(xml or None, stdout, "", code)
        if diagnose(output, PwSettings(press_conv_thr_kbar=5, forc_conv_thr_ry_bohr=1e-2)) is None:
            last = output.last
            assert last is not None and last.structure is not None and last.structure.volume > 1e-3
            assert abs(last.energy_ev) < 1e7 and last.forces_ev_ang.shape == (len(last.structure), 3)


def broken(name, old, new, *, in_xml=False, count=-1):
    xml, stdout, code = texts_of(name)
    text = xml if in_xml else stdout
    assert old in text
    text = text.replace(old, new, count)
    return parse_pw_output(text if in_xml else xml, stdout if in_xml else text, "", code)


def test_a_last_energy_that_is_no_number_is_no_result_though_earlier_ones_were():
    xml, stdout, code = texts_of("success")
    head, sign, tail = stdout.rpartition("!    total energy              =")
    number, rest = tail.split(" Ry", 1)
    assert float(number) < 0
    for junk in ("NaN", "************", "-47.\ufffd8"):
        output = parse_pw_output(xml, f"{head}{sign}  {junk} Ry{rest}", "", code)
        assert not output.scf_converged and diagnose(output) is PwFailure.NO_RESULT


@pytest.mark.parametrize("junk", ["NaN", "nan", "inf", "1e999", "abc"])
def test_numbers_of_the_xml_that_are_none_leave_those_of_the_text(junk):
    xml, stdout, code = texts_of("success")
    whole = parse_pw_output(xml, stdout, "", code).last
    for tag in ("etot", "demet", "stress", "forces", "a1"):
        head, start, rest = xml.rpartition(f"<{tag}")
        opened, inner = rest.split(">", 1)
        spoilt = f"{head}{start}{opened}>{junk} {inner}"
        last = parse_pw_output(spoilt, stdout, "", code).last
        assert last.energy_ev == pytest.approx(whole.energy_ev, abs=2e-2)
        assert last.stress_kbar == pytest.approx(whole.stress_kbar, abs=5e-3)
        assert last.structure.volume == pytest.approx(whole.structure.volume, rel=1e-4)


def test_a_cell_without_volume_is_no_result():
    output = broken("success_molecule", "celldm(1)=", "celldm(1)=   0.000000  was ")
    assert output.last.structure is None and diagnose(output) is PwFailure.NO_RESULT


def test_an_element_that_is_none_is_no_result():
    output = broken("success_molecule", " O   tau(", " Xq  tau(", in_xml=False)
    assert output.last.structure is None and diagnose(output) is PwFailure.NO_RESULT


def test_forces_of_fewer_atoms_are_no_forces():
    output = broken("success_molecule", "atom    1 type  1   force =", "atom    1 type  1   force =  ***** ")
    assert diagnose(parse_pw_output(None, output.stdout, "", 0)) is PwFailure.NO_RESULT
