"""--target: what can be written, and where a mistake is."""

from __future__ import annotations

from math import inf, log10

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crystalloop.models.draw.target import Range
from crystalloop.orchestrator.campaign.target_text import TargetError, parse_target, target_notes

E_F, GAP, K = "formation_energy_per_atom", "band_gap", "log10_bulk_modulus"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("e_f in -2.5..-1.5", (Range(E_F, -2.5, -1.5),)),
        ("e_f in -2.5 .. -1.5", (Range(E_F, -2.5, -1.5),)),
        ("e_f in -2...-1.", (Range(E_F, -2.0, -1.0),)),
        ("e_f < -1", (Range(E_F, -inf, -1.0),)),
        ("gap > 2", (Range(GAP, 2.0, inf),)),
        ("  band_gap>=.5", (Range(GAP, 0.5, inf),)),
        ("gap > 1 and gap < 3", (Range(GAP, 1.0, 3.0),)),
        ("gap > 2, e_f <= -1e0", (Range(GAP, 2.0, inf), Range(E_F, -inf, -1.0))),
        ("K > 100", (Range(K, 2.0, inf),)),
        ("bulk_modulus in 10..50", (Range(K, 1.0, log10(50.0)),)),
        ("log10_bulk_modulus > 2", (Range(K, 2.0, inf),)),
        ("(gap > 2 eV and K < 10 GPa)", (Range(GAP, 2.0, inf), Range(K, -inf, 1.0))),
    ],
)
def test_a_target_becomes_ranges_in_the_networks_units(text, wanted):
    assert parse_target(text) == wanted


@pytest.mark.parametrize(
    ("text", "at", "says"),
    [
        ("ef < 2", 1, "did you mean e_f?"),
        ("gap > 2 and stiffness < 1", 13, "unknown property 'stiffness'"),
        ("e_f", 4, "expected e.g."),
        ("e_f in -2", 4, "expected e.g."),
        ("e_f < two", 4, "expected e.g."),
        ("", 1, "expected e.g."),
        ("e_f < -1 or gap > 2", 10, "expected `and`"),
        ("gap > 2 and", 12, "expected e.g."),
        ("e_f in -1..-2", 8, "the range -1..-2 is empty"),
        ("e_f < -150", 7, "lies within -8..8 eV/atom: wrong unit?"),
        ("K > -3", 5, "K = -3 is not positive"),
        ("gap > 3 and gap < 2", 20, "nothing has"),
        ("e_f < -1 GPa", 10, "the unit is eV/atom"),
        ("e_f = -1", 7, "expected e.g."),
        ("e_f in (-1, -2)", 8, "expected e.g."),
        ("e_f < -1 and not gap > 2", 14, "expected e.g."),
        ("__import__('os')", 1, "unknown property '__import__'"),
    ],
)
def test_a_mistake_is_shown_where_it_is(text, at, says):
    with pytest.raises(TargetError, match=rf"character {at}:") as refused:
        parse_target(text)
    assert says in str(refused.value)


_WORDS = "e_f gap K log10_bulk_modulus ehull < <= > in .. 1 -2.5 1e999 \u22123 meV GPa 'x , and or not ( ) null \x00 \u2264 ; $"


@settings(max_examples=500, deadline=None)
@given(
    st.one_of(st.lists(st.sampled_from(_WORDS.split(" ")), max_size=20).map(" ".join), st.text(max_size=60)),
    st.booleans(),
)
def test_no_target_does_more_than_be_refused(text, predicted):
    try:
        parse_target(text, predicted=predicted)
    except TargetError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("formation_energy_per_atom < -500 meV", (Range(E_F, -inf, -0.5),)),
        ("bulk_modulus in 100..1000 kbar", (Range(K, 1.0, 2.0),)),
        ("gap \u2265 2 eV AND e_f \u2264 \u22121", (Range(GAP, 2.0, inf), Range(E_F, -inf, -1.0))),
    ],
)
def test_other_units_and_the_signs_of_print_are_understood(text, wanted):
    assert parse_target(text) == wanted


def test_what_no_network_predicts_is_not_drawn_for_and_older_names_are_noted():
    with pytest.raises(TargetError, match="energy_above_hull is not predicted by the networks"):
        parse_target("energy_above_hull < 0.1")
    with pytest.raises(TargetError, match=r"log10_bulk_modulus lies within -2..3.2: wrong unit"):
        parse_target("log10_bulk_modulus > 100")
    with pytest.raises(TargetError, match=r"bulk_modulus lies within 0.01..1584.89 GPa: wrong unit"):
        parse_target("K > 16000")
    (note,) = target_notes("log10_bulk_modulus > 2, gap > 1")
    assert (
        note == "log10_bulk_modulus is the older name of bulk_modulus, its decimal logarithm; `bulk_modulus` takes GPa"
    )


def test_a_range_holds_its_ends_and_nothing_unknown():
    wanted = Range(GAP, 1.0, 2.0)
    assert [wanted.holds(value) for value in (0.99, 1.0, 2.0, 2.01, None)] == [False, True, True, False, False]
