"""When a campaign has found enough, or is not going to: the policy's words, and a loop that ends by them."""

import dataclasses

import pytest
from test_ends import loop_of, registered
from test_loop import CAMPAIGN, SOURCES, FakeProposer
from test_policy import RULES, at

from crystalloop.db.ledger.memory import MemoryStore
from crystalloop.models.crystals.known import KnownCrystals
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.loop.outlook import Forecasted
from crystalloop.orchestrator.loop.policy import Finish, Propose, RoundView, Wait, decide, is_worth_it
from crystalloop.orchestrator.propose.ask import Ask
from crystalloop.orchestrator.propose.cold_start import Choice
from crystalloop.orchestrator.propose.door import expected_hits

LAST = Forecasted(round=2, sent=6, expected=1.44, found=2)
BETWEEN = {"closed": True, "labelled": 12, "model_round": 2, "number": 2}
ENOUGH = dataclasses.replace(RULES, hits=5)
CHOOSY = dataclasses.replace(RULES, expected_hits=0.2)


def declined(expected, **changes):
    snapshot = at(**BETWEEN | {"number": 3}, chosen=0, note="3 were chosen and not sent", **changes)
    view = dataclasses.replace(snapshot.current, expected_hits=expected, declined=3)
    return dataclasses.replace(snapshot, current=view)


def test_enough_hits_end_a_campaign_once_its_round_is_closed():
    assert decide(at(**BETWEEN, hits=4), ENOUGH) == Propose(3, with_model=True)
    assert decide(at(open=1, hits=9), ENOUGH) == Wait()
    assert decide(at(**BETWEEN, hits=5), ENOUGH) == Finish("enough is found: 5 hits, `stop.hits` is 5")
    assert decide(at(**BETWEEN, hits=50), RULES) == Propose(3, with_model=True)
    one = dataclasses.replace(RULES, hits=1)
    assert decide(at(**BETWEEN, hits=1), one) == Finish("enough is found: 1 hit, `stop.hits` is 1")


MORE = (
    "; another 6 relaxations would bring about 1.4 hits at best, were they as promising as those of round 2 "
    "(1.4 expected of 6, 2 found)"
)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"hits": 7}, "enough is found: 7 hits, `stop.hits` is 5"),
        ({"number": 3}, "all 3 rounds are done"),
        ({"relaxations": 20}, "the budget of 20 relaxations is used"),
        ({"cpu_hours": 2.0}, "the budget of 1 CPU-hours is used (2.00)"),
    ],
)
def test_every_end_says_what_more_calls_would_bring(changes, reason):
    action = decide(at(**BETWEEN | changes, forecast=LAST), ENOUGH)
    assert action == Finish(reason + MORE)
    assert decide(at(**BETWEEN | changes), ENOUGH) == Finish(reason)


def test_a_batch_of_which_too_little_is_expected_ends_a_campaign_with_the_number():
    action = decide(declined(0.05, hits=4, forecast=LAST), CHOOSY)
    assert action == Finish(
        "no gain is expected: the next 3 relaxations would bring about 0.05 hits, and `stop.expected_hits` is 0.2, after "
        "round 2 (1.4 expected of 6, 2 found); 4 hits so far; a smaller `stop.expected_hits` goes on"
    )
    assert "fewer than 0.01 hits" in decide(declined(0.0), CHOOSY).reason
    assert not action.failed
    assert action.completed


def test_a_batch_that_was_declined_is_proposed_again_where_less_is_asked_for():
    assert decide(declined(0.05), dataclasses.replace(RULES, expected_hits=0.04)) == Propose(3, with_model=True)
    assert decide(declined(0.05), RULES) == Propose(3, with_model=True)


def test_a_batch_without_a_forecast_is_always_worth_it():
    assert [is_worth_it(value, CHOOSY) for value in (None, 0.2, 0.19, 0.0)] == [True, True, False, False]
    assert is_worth_it(0.0, RULES)
    assert RoundView(1, 0, 0, closed=False).expected_hits is None


def test_what_is_expected_is_chance_times_success():
    (draft, _), *_ = FakeProposer().propose(Ask(1, None, SOURCES.training_set(())[0], KnownCrystals(), (), 3)).chosen
    chances = [(0.5, 0.8), (0.25, None), (None, 0.9)]
    drafts = [dataclasses.replace(draft, chance=chance, success=success) for chance, success in chances]
    assert expected_hits(drafts) == pytest.approx(0.5 * 0.8 + 0.25)
    assert expected_hits(drafts[2:]) is None
    assert expected_hits([]) is None


class Ranked(FakeProposer):
    """Says of each candidate of a model how likely it is a hit."""

    def __init__(self, chance):
        self.chance = chance

    def propose(self, ask):
        made = super().propose(ask)
        if ask.version is None:
            return made
        told = tuple(
            (dataclasses.replace(draft, chance=self.chance, success=1.0), score) for draft, score in made.chosen
        )
        return Choice(made.counts, told)


def run(store, stop, chance=0.05):
    campaign = Campaign.model_validate(CAMPAIGN.spec() | {"stop": stop, "target": {"maximum": -0.5}, "rounds": 2})
    return loop_of(store, campaign=campaign, chooser=Ranked(chance)).run()


def test_a_loop_that_expects_nothing_computes_nothing_more_and_goes_on_once_it_may():
    store = registered()
    action = run(store, {"expected_hits": 0.5})
    assert action.reason.startswith("no gain is expected: the next 3 relaxations would bring about 0.15 hits")
    assert "; 3 hits so far;" in action.reason
    assert [(len(one.chosen), one.declined) for one in store.rounds("first")] == [(3, 0), (0, 3)]
    assert len(store.candidates("first")) == 3
    again = run(store, {"expected_hits": 0.1})
    assert "(0.15 expected of 3, 3 found)" in again.reason
    assert again.reason.startswith("all 2 rounds are done; another 3 relaxations would bring about 0.15 hits")
    assert "; 3 hits so far;" in action.reason
    assert [(len(one.chosen), one.declined) for one in store.rounds("first")] == [(3, 0), (3, 0)]
    assert store.rounds("first")[1].expected_hits == pytest.approx(0.15)


def test_a_loop_ends_with_enough_hits_and_goes_on_for_more():
    store = registered()
    assert isinstance(store, MemoryStore)
    assert run(store, {"hits": 3}).reason == "enough is found: 3 hits, `stop.hits` is 3"
    assert len(store.rounds("first")) == 1
    assert run(store, {"hits": 4}).reason.startswith("enough is found: 6 hits, `stop.hits` is 4; another 3 relaxations")
