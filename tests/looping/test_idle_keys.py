"""What a campaign file says without effect, or twice, is told before anything runs."""

import pytest
from pydantic import ValidationError

from crystalloop.orchestrator.campaign.choice.idle import idle_notes
from crystalloop.orchestrator.campaign.choice.sections import AcquireSection, SurrogateSection
from crystalloop.orchestrator.campaign.spec import Campaign

FIELDS = {"name": "t", "elements": ["Li", "F"], "prototypes": ["rocksalt_B1"], "target": {"maximum": -1.0}}


@pytest.mark.parametrize(
    ("acquire", "surrogate", "told"),
    [
        ({"policy": "random", "explore": 0.5}, {}, "acquire.explore is 0.5 and has no effect: lots are drawn"),
        ({"policy": "random", "per_cost": True}, {}, "acquire.per_cost is true and has no effect: lots are drawn"),
        ({"kappa": 2.0}, {}, "acquire.kappa is 2.0 and has no effect: it is of acquire.policy ucb alone"),
        ({}, {"model": "gaussian_process", "trees": 500}, "surrogate.trees is 500 and has no effect"),
        ({}, {"model": "networks", "trees": 500}, "surrogate.trees is 500 and has no effect"),
    ],
)
def test_a_key_without_effect_is_told_with_its_value_and_what_would_give_it_one(acquire, surrogate, told):
    (note,) = idle_notes(AcquireSection(**acquire), SurrogateSection(**surrogate))
    assert note.startswith(told)


@pytest.mark.parametrize(
    ("acquire", "surrogate"), [({}, {}), ({"policy": "ucb", "kappa": 2.0}, {"trees": 500}), ({"policy": "random"}, {})]
)
def test_of_defaults_and_keys_with_an_effect_nothing_is_told(acquire, surrogate):
    assert idle_notes(AcquireSection(**acquire), SurrogateSection(**surrogate)) == ()


@pytest.mark.parametrize(
    ("key", "value"), [("prototypes", ["rocksalt_B1", "rocksalt_B1"]), ("bases", ["LiF:CsCl_B2", "LiF:CsCl_B2"])]
)
def test_what_is_named_twice_is_refused(key, value):
    with pytest.raises(ValidationError, match=f"{value[0]} is named twice; leave one out"):
        Campaign.model_validate(FIELDS | {key: value})
