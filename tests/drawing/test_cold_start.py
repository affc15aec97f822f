"""The pool of a cold start: every decoration once, without comparing structures."""

from crystalloop.models.crystals.prototypes import Prototype
from crystalloop.models.generate.funnel import unique
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.propose.cold_start import decorated_pool, distinct


def pool(elements, bases=()):
    target = {"property": "formation_energy_per_atom", "direction": "minimise"}
    return decorated_pool(
        Campaign(name="t", elements=elements, prototypes=tuple(Prototype), bases=bases, target=target)
    )


def test_distinct_decorations_are_those_that_structure_matcher_tells_apart():
    elements = ("Ca", "Ti", "O", "N")
    twice = [*pool(elements), *pool(elements[::-1])]
    kept = distinct().keep(twice)
    assert len(kept) == len(pool(elements)) < len(twice)
    assert [id(one) for one in kept] == [id(one) for one in unique().keep(twice)]


def test_a_base_that_only_exchanges_like_sites_is_in_the_pool_already():
    elements = ("Li", "Mg", "Sb")
    assert len(pool(elements, ("LiSbMg:half_heusler_C1b", "SbLi:rocksalt_B1"))) == len(pool(elements))
