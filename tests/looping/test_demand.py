"""What is asked of Ray is laid out over the nodes first: defaults take what there is, what finds no room is one sentence."""

from __future__ import annotations

import pytest

from crystalloop.orchestrator.cluster.demand import ClusterTooSmall, Demand, Node, TooFewGpus, fit_demand

DEFAULTS = Demand(train_workers=1, generators=1, screeners=1)


@pytest.mark.parametrize(
    ("nodes", "cpus"),
    [
        ([Node(2)], 1.0),  # two of the trainer beside the two actors' .5 would wait for ever
        ([Node(3)], 2.0),
        ([Node(64)], 2.0),
        ([Node(1)], 0.5),
        ([Node(2), Node(1)], 1.0),  # the actors may be on either
        ([Node(1), Node(1), Node(1)], 0.5),
        ([Node(0.5), Node(0.5)], 0.25),
    ],
)
def test_a_campaign_with_defaults_takes_what_the_nodes_have(nodes, cpus):
    assert fit_demand(DEFAULTS, nodes) == cpus


def test_workers_share_a_small_node_where_nobody_said_how_large_they_are():
    assert fit_demand(Demand(3, generators=1, screeners=1), [Node(2)]) == 0.5


def test_a_size_that_the_user_gave_is_kept_or_refused_with_what_to_change():
    assert fit_demand(Demand(1, 1.5, generators=1, screeners=1), [Node(2)]) == 1.5
    with pytest.raises(
        ClusterTooSmall, match=r"1 training workers of 2 CPUs each, beside 1 generators and 1 screeners"
    ) as e:
        fit_demand(Demand(1, 2.0, generators=1, screeners=1), [Node(2)])
    assert "Ray has 2 CPUs on 1 node; lower ray.train_workers, or leave ray.cpus_per_train_worker out" in str(e.value)


def test_a_worker_that_fits_no_single_node_is_refused_though_the_sum_would_do():
    with pytest.raises(ClusterTooSmall, match="8 CPUs on 4 nodes, 2 on the largest"):
        fit_demand(Demand(1, 4.0), [Node(2)] * 4)


def test_too_many_actors_are_named_as_such():
    with pytest.raises(ClusterTooSmall, match=r"8 generators and 8 screeners of 0\.25 CPU each: .*generator_actors"):
        fit_demand(Demand(1, generators=8, screeners=8), [Node(2)])


def test_gpus_that_are_not_there_are_named_with_their_key():
    with pytest.raises(TooFewGpus, match=r"2 training workers want a GPU each, Ray sees 1; lower ray\.train_workers"):
        fit_demand(Demand(2, use_gpu=True), [Node(8, 1)])
    with pytest.raises(TooFewGpus, match=r"3 generators want 0\.5 GPU each \(ray\.gpus_per_generator\), Ray sees 1"):
        fit_demand(Demand(1, generators=3, screeners=1, gpus_per_generator=0.5), [Node(8, 1)])
    with pytest.raises(TooFewGpus, match="above 1 Ray gives whole GPUs"):
        fit_demand(Demand(1, generators=1, gpus_per_generator=1.5), [Node(8, 4)])
    with pytest.raises(TooFewGpus, match="Ray sees 0; lower --workers, or leave --gpus out"):
        fit_demand(Demand(1, 1.0, use_gpu=True, keys=""), [Node(8)])


def test_generators_with_gpus_hand_them_to_the_trainer_so_both_need_not_fit_at_once():
    demand = Demand(1, use_gpu=True, generators=1, screeners=1, gpus_per_generator=1.0)
    assert fit_demand(demand, [Node(2, 1)]) == 2.0
    assert demand.at_once(2.0) == (2.0, 1.0)


def test_no_nodes_at_all_is_a_sentence():
    with pytest.raises(ClusterTooSmall, match="0 CPUs on 0 nodes"):
        fit_demand(DEFAULTS, [])
