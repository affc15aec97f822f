"""How a round finds its candidates: draws and every decoration ranked together, wider nets where there are too few."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from database_fixture import NOON

from crystalloop.db.ledger.records import ModelVersion
from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.known import KnownCrystals
from crystalloop.models.crystals.properties import E_F
from crystalloop.models.crystals.prototypes import Prototype
from crystalloop.models.crystals.structures import decorate
from crystalloop.models.data.files import KnownCrystal
from crystalloop.models.draw.proposal import Kind, Proposal, Proposals
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.learn.training_set import build_training_set
from crystalloop.orchestrator.loop.events import Redrawing
from crystalloop.orchestrator.propose import proposer as proposer_module
from crystalloop.orchestrator.propose.ask import Ask
from crystalloop.orchestrator.propose.cold_start import decorated_pool
from crystalloop.orchestrator.propose.proposer import CandidateProposer

VERSION = ModelVersion(
    id="t-v1",
    campaign="t",
    number=1,
    round=0,
    parent=None,
    networks={},
    trained_on=(),
    labelled=4,
    unlabelled=0,
    data_digest="d",
    created_at=NOON,
)


class Networks:
    """Stands for Ray's actors: draws one crystal again and again, and predicts by formula; keeps what it was asked."""

    def __init__(self, drawn, predicted, sigma=0.1):
        self.drawn, self.predicted, self.sigma, self.requests = drawn, predicted, sigma, []

    def actors(self):
        return SimpleNamespace(generators=self, screeners=self)

    def start(self):
        pass

    def map(self, method, folder, batches):
        if method == "predict":
            return [
                ([{E_F: self.predicted.get(one.formula, 0.0)} for one in some], [{E_F: self.sigma}] * len(some))
                for some in batches
            ]
        self.requests += batches
        return [Proposals((Proposal(self.drawn, request.kind),) * request.count) for request in batches]


def campaign(**changes):
    fields = {
        "name": "t",
        "elements": ["Li", "Mg", "O", "F"],
        "prototypes": ["rocksalt_B1", "CsCl_B2"],
        "target": {"maximum": -2.0},
        "generate": {"per_round": 4},
    }
    return Campaign.model_validate(fields | changes)


def crystal(*elements, prototype=Prototype.ROCKSALT):
    return Crystal.from_structure(decorate(prototype, elements))


def labelled(values):
    """A training set of Li-Mg alloys with these formation energies, beside the decorations."""
    return [
        KnownCrystal(str(i), f"row {i}", decorate(Prototype.CSCL, ("Li", "Mg"), 3.0 + i / 10), {E_F: value})
        for i, value in enumerate(values)
    ]


def propose(asked, networks, count=3, values=(-3.0, -2.0, -1.0, 0.0), known=None, heard=None):
    training, _ = build_training_set([], labelled(values), decorated_pool(asked))
    chooser = CandidateProposer(asked, Path("models"), networks, tell=heard.append if heard is not None else None)
    return chooser.propose(Ask(1, VERSION, training, known or KnownCrystals(), (), count))


def names(choice):
    return [(one.formula, one.prototype, one.kind) for one, _ in choice.chosen]


def test_every_decoration_is_ranked_beside_what_was_drawn():
    networks, heard = Networks(crystal("Li", "F"), {"LiF": -3.0, "MgO": -2.5}), []
    choice = propose(campaign(), networks, count=4, heard=heard)
    found = names(choice)
    assert ("LiF", "rocksalt_B1", Kind.RANDOM) in found  # drawn, and preferred to its decoration
    assert ("LiF", "CsCl_B2", Kind.DECORATED) in found
    assert {formula for formula, _, _ in found} == {"LiF", "MgO"}
    assert (choice.note, heard) == ("", [])
    assert dict(choice.counts)["generated"] == sum(r.count for r in networks.requests) + len(decorated_pool(campaign()))
    assert all(one.model_version == "t-v1" for one, _ in choice.chosen)


def test_what_cannot_be_balanced_is_counted_and_left_out_unless_the_campaign_says_otherwise():
    predicted = {"LiO": -9.0, "OF": -9.0, "LiF": -3.0}
    choice = propose(campaign(), Networks(crystal("Li", "O"), predicted), count=2)
    assert {one.formula for one, _ in choice.chosen} == {"LiF"}
    counts = dict(choice.counts)
    assert counts["charge balanced"] < counts["wanted formula"]
    free = propose(campaign(filters={"charge_balance": False}), Networks(crystal("Li", "O"), predicted), count=2)
    assert {one.formula for one, _ in free.chosen} & {"LiO", "OF"}
    assert "charge balanced" not in dict(free.counts)


def test_too_few_candidates_are_drawn_for_again_wider_and_then_the_target_is_left_out():
    networks, heard = Networks(crystal("Li", "F"), {"LiF": -3.0, "MgO": -1.75}), []
    choice = propose(campaign(), networks, count=5, heard=heard)
    assert [(event.found, event.wanted) for event in heard] == [(2, 5), (4, 5)]
    assert all(isinstance(event, Redrawing) for event in heard)
    assert {one.formula for one, _ in choice.chosen} == {"LiF", "MgO", "LiMg"}
    assert (len(choice.chosen), choice.note) == (5, "")
    scales = {request.scale for request in networks.requests}
    assert scales == {0.5, 0.8}
    assert len({request.seed for request in networks.requests}) == len(networks.requests)


def test_a_target_that_nothing_leads_to_chooses_nobody_and_says_why():
    choice = propose(campaign(target={"maximum": -7.5}), Networks(crystal("Li", "F"), {"LiF": -3.0}))
    assert choice.chosen == ()
    assert "predicted within 3 standard deviations of the target" in choice.note


def test_a_further_condition_that_nothing_leads_to_is_far_as_the_first_is():
    gap = {"property": "band_gap", "minimum": 0.0, "also": [{"property": E_F, "maximum": -7.5}]}
    choice = propose(campaign(target=gap, dft={"band_gap": "scf"}), Networks(crystal("Li", "F"), {"LiF": -3.0}))
    assert choice.chosen == ()
    assert "predicted within 3 standard deviations of the target" in choice.note


def test_known_values_that_are_all_the_same_do_not_say_that_a_target_is_far():
    choice = propose(campaign(), Networks(crystal("Li", "F"), {"LiF": 0.0}), values=(0.0, 0.0, 0.0, 0.0))
    assert (len(choice.chosen), choice.note) == (3, "")


def test_a_target_beyond_what_is_known_but_not_far_is_tried():
    choice = propose(campaign(target={"maximum": -4.0}), Networks(crystal("Li", "F"), {"LiF": -3.0}))
    assert (len(choice.chosen), choice.note) == (3, "")
    assert choice.chosen[0][0].formula == "LiF"


def test_where_everything_is_known_the_round_says_so():
    known = KnownCrystals(one.crystal for one in decorated_pool(campaign()))
    choice = propose(campaign(), Networks(crystal("Li", "F"), {"LiF": -3.0}), known=known)
    assert choice.chosen == ()
    assert "is computed, known, or gave up" in choice.note


def test_of_too_many_decorations_some_are_drawn_when_nothing_else_is_left(monkeypatch):
    monkeypatch.setattr(proposer_module, "ENUMERATED", 4)
    networks = Networks(crystal("Li", "F"), {"LiF": -3.0})
    enough = propose(campaign(), networks, count=1)
    assert dict(enough.counts)["generated"] == 4
    short, again = (propose(campaign(), Networks(crystal("Li", "F"), {"LiF": -3.0}), count=3) for _ in range(2))
    assert dict(short.counts)["generated"] == 4 + 8 + 4
    assert names(short) == names(again)


@pytest.mark.parametrize("count", [1, 3])
def test_the_same_seed_gives_the_same_candidates(count):
    one, other = (propose(campaign(), Networks(crystal("Li", "F"), {"LiF": -3.0}), count=count) for _ in range(2))
    assert names(one) == names(other)
