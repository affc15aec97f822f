"""What every generator promises, as tests to inherit: give the fixture `generator`, and `bases` where yours are special."""

from __future__ import annotations

import pytest
from cubic_crystals import decorated

from crystalloop.models.crystals.elements import atomic_number
from crystalloop.models.crystals.prototypes import Prototype
from crystalloop.models.draw.proposal import Base, Kind, Proposal
from crystalloop.models.generate.base import DrawRequest

DRAWS = 4
ALLOWED = tuple(atomic_number(symbol) for symbol in ("F", "Na", "Mg", "Cl"))
KINDS = pytest.mark.parametrize("kind", Kind.of_draws())
NAMED = {Kind.RANDOM: 0, Kind.AROUND: 1, Kind.BETWEEN: 2}


def facts(one: Proposal | str) -> object:
    """All that a proposal says, as plain values."""
    if isinstance(one, str):
        return one
    arrays = one.crystal.lattice, one.crystal.numbers, one.crystal.frac_coords, one.raw.frac_coords
    return one.kind, one.bases, one.stored_latent, one.stored_condition, *(array.tolist() for array in arrays)


class GeneratorContract:
    """Inherit it as `class TestMine(GeneratorContract)`."""

    @pytest.fixture
    def bases(self) -> tuple[Base, ...]:
        pairs = (("Na", "Cl"), ("Mg", "O"), ("K", "Br"))
        return tuple(Base("".join(pair), decorated(Prototype.ROCKSALT, pair), -2.0) for pair in pairs)

    @pytest.fixture
    def ask(self, generator, bases):
        def answers(kind, seed=1, count=DRAWS, **changes):
            return generator.generate(DrawRequest(kind, count, seed, bases, **changes)).each

        return answers

    @KINDS
    def test_every_draw_is_answered_with_a_crystal_or_a_reason(self, ask, kind):
        answers = ask(kind)
        assert len(answers) == DRAWS
        assert all(isinstance(one, Proposal) or (isinstance(one, str) and one) for one in answers)

    @KINDS
    def test_the_same_request_has_the_same_answers_whatever_was_asked_before(self, ask, kind):
        first = list(map(facts, ask(kind)))
        ask(Kind.RANDOM, seed=5, allowed=ALLOWED)
        assert list(map(facts, ask(kind))) == first
        assert list(map(facts, ask(kind, seed=2))) != first

    def test_a_seed_may_be_several_numbers(self, ask):
        first = list(map(facts, ask(Kind.RANDOM, seed=(1, 7))))
        assert list(map(facts, ask(Kind.RANDOM, seed=(1, 8)))) != first

    @KINDS
    def test_a_proposal_names_its_kind_and_the_bases_it_came_from(self, ask, bases, kind):
        made = [one for one in ask(kind) if isinstance(one, Proposal)]
        assert {one.kind for one in made} <= {kind}
        assert all(len(set(one.bases)) == len(one.bases) == NAMED[kind] for one in made)
        assert {name for one in made for name in one.bases} <= {base.name for base in bases}

    @KINDS
    def test_elements_that_are_not_allowed_do_not_occur(self, ask, kind):
        made = [one for one in ask(kind, allowed=ALLOWED) if isinstance(one, Proposal)]
        assert {int(number) for one in made for number in one.crystal.numbers} <= set(ALLOWED)

    @KINDS
    def test_no_draws_have_no_answers(self, ask, kind):
        assert ask(kind, count=0) == ()

    def test_some_draws_give_crystals_of_which_nothing_is_predicted_yet(self, ask):
        made = [one for kind in Kind.of_draws() for one in ask(kind) if isinstance(one, Proposal)]
        assert made
        assert all(not one.predicted and one.sigma is None and one.novelty is None for one in made)
        assert all(0.0 <= one.confidence <= 1.0 for one in made)
