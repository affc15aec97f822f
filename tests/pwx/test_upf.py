"""UPF headers in both versions, cut, junk and hostile: read once from left to right, a header or one sentence."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest

from crystalloop.dft.recipe.upf import NotUpf, UpfHeader, read_upf_header

SECOND = (
    '<UPF version="2.0.1">\n<PP_INFO>a > b, x="y"</PP_INFO>\n<PP_HEADER\n generated="by > hand"\n element=" Ti"\n'
    ' pseudo_type="US" functional="SLA PW PBX PBC" has_so="F"\n z_valence="1.200000000000000D+01"/>\n'
)
FIRST = """<PP_HEADER>
   0                   Version Number
  B                     Element
   US                  Ultrasoft pseudopotential
    T                  Nonlinear Core Correction
 SLA  PW   PBX  PBC    PBE  Exchange-Correlation functional
    3.00000000000      Z valence
</PP_HEADER>
"""


def read(tmp_path, content):
    file = tmp_path / "x.upf"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_upf_header(file)


def test_both_versions_say_element_kind_functional_and_valence(tmp_path):
    assert read(tmp_path, SECOND) == UpfHeader("Ti", "US", "PBE", False, 12.0)
    assert read(tmp_path, FIRST) == UpfHeader("B", "US", "PBE", False, 3.0)
    assert read(tmp_path, FIRST.replace("</PP", "<PP_ADDINFO></PP")).spin_orbit


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("<PP_HEADER element='Li' pseudo_type='NC'/>", UpfHeader("Li", "NC", "", False)),
        ("<PP_HEADER/>", UpfHeader("", "", "", False)),
        ('<PP_HEADER element="li" has_so=".TRUE." z_valence="nan"/>', UpfHeader("Li", "", "", True)),
        ('<PP_HEADER z_valence="-3"/>', UpfHeader("", "", "", False)),
        ("\r\n".join(SECOND.split("\n")), UpfHeader("Ti", "US", "PBE", False, 12.0)),
        ("<PP_HEADER>\n</PP_HEADER>", UpfHeader("", "", "", False)),
    ],
)
def test_what_is_missing_is_empty(tmp_path, text, header):
    assert read(tmp_path, text) == header


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "it is empty"),
        (b"\x1f\x8b\x08\0\0\0\0\0" * 100, "it is binary"),
        ("not a pseudopotential", "no PP_HEADER"),
        ('<PP_HEADER element="Li', "its PP_HEADER is cut off"),
        ("<PP_HEADER element=Li", "its PP_HEADER is cut off"),
        ('<PP_HEADER generated="' + "x" * 100_000, "its PP_HEADER is cut off"),
        ("<PP_HEADER>\n Li Element\n", "its PP_HEADER is cut off"),
        ("<PP_HEADER" + "=" * 100_000, "its PP_HEADER is cut off"),
    ],
)
def test_no_header_is_a_sentence(tmp_path, content, sentence):
    with pytest.raises(NotUpf, match=sentence):
        read(tmp_path, content)


HOSTILE = pytest.mark.parametrize(
    "content",
    [
        "<PP_HEADER>" + " " * 3_000_000,
        "<PP_HEADER>\n" + (" " * 300 + "\n") * 10_000 + "</PP_HEADER>",
        "<PP_HEADER " + "a " * 1_000_000,
        "<PP_HEADER " + 'a="b ' * 500_000,
        "<PP_HEADER " * 200_000,
        " pseudopotential" * 200_000,
    ],
    ids=["spaces", "blank lines", "words", "quotes", "tags", "meanings"],
)


@HOSTILE
def test_a_header_on_which_an_expression_would_go_back_and_forth_is_read_once(tmp_path, content):
    with suppress(NotUpf):  # it ends, which an expression did not within any test's patience
        read(tmp_path, content)


def test_a_thousand_damaged_headers_give_a_header_or_a_sentence(tmp_path):
    rng = random.Random(11)
    pieces = [
        "<PP_HEADER",
        ">",
        "/>",
        "</PP_HEADER>",
        '"',
        "'",
        "=",
        "element",
        "\n",
        " ",
        "\0",
        "z_valence",
        "1e999",
        "ß",
    ]
    for _ in range(1000):
        text = rng.choice([SECOND, FIRST])
        for _ in range(rng.randint(1, 8)):
            at, end = sorted(rng.randrange(len(text) + 1) for _ in range(2))
            text = text[:at] + rng.choice(pieces) * rng.randint(0, 3) + text[min(end, at + rng.randint(0, 40)) :]
        raw = bytearray(text.encode())
        if raw and rng.random() < 0.3:
            raw[rng.randrange(len(raw))] = rng.randrange(256)
        try:
            assert isinstance(read(tmp_path, bytes(raw)), UpfHeader)
        except NotUpf as error:
            assert str(error)
