"""What the Ray actors do with a request, as plain objects in this process."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from tiny_networks import SAVES_WEIGHTS, VOXELS, e_f_labels, salts, scrambled, tiny_cgcnn, tiny_unet, tiny_vae

from crystalloop.models.crystals.properties import PROPERTIES
from crystalloop.models.draw.proposal import Base, Kind
from crystalloop.models.generate.base import DrawRequest
from crystalloop.models.maps.voxels import VoxelConfig
from crystalloop.models.nets.checkpoint import CheckpointError, save
from crystalloop.orchestrator.propose.actors import GeneratorActor, ScreenActor

pytestmark = [SAVES_WEIGHTS, pytest.mark.slow]
BASES = tuple(Base(f"salt {i}", crystal, -2.0) for i, crystal in enumerate(salts()[:3]))


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "v1"
    labels = e_f_labels(12)
    networks = tiny_unet(), tiny_vae(decile_edges_ev=tuple(np.linspace(-3, -1, 9))), tiny_cgcnn(labels)
    for network in networks:
        scrambled(network)
    # An untrained occupancy is nowhere certain: let it be everywhere, so that there is something to read.
    kernel, bias = networks[0].model.get_layer("occupancy").get_weights()
    networks[0].model.get_layer("occupancy").set_weights([kernel, bias + 1.0])
    for network in networks:
        save(folder / network.kind, network, data_digest="tiny")
    return str(folder)


def request(kind: str, **changes) -> DrawRequest:
    fields = {"count": 8, "seed": 1, "bases": BASES, "scale": 0.5, "allowed": (11, 17)}
    return DrawRequest(kind=Kind(kind), **(fields | changes))


def summary(proposals) -> list:
    return [(p.kind, p.bases, p.crystal.formula, p.latent.tolist(), p.condition.tolist()) for p in proposals.made]


@pytest.mark.parametrize("kind", Kind.of_draws())
def test_a_generator_answers_a_request_the_same_way_twice(version, kind):
    generator = GeneratorActor(VOXELS)
    first, again = (generator.generate(version, request(str(kind))) for _ in range(2))
    assert len(first.made) + first.failures.total() == 8
    assert isinstance(first.failures, Counter)
    assert summary(first) == summary(again)
    assert {proposal.kind for proposal in first.made} <= {kind}
    assert {symbol for proposal in first.made for symbol in proposal.crystal.composition} <= {"Na", "Cl"}


def test_random_latents_are_conditioned_on_the_wanted_energys_decile(version):
    made = GeneratorActor(VOXELS).generate(version, request("random", e_f_ev=(-5.0, -5.0), count=24)).made
    assert made
    assert {int(proposal.condition.argmax()) for proposal in made} == {0}


def test_a_generator_refuses_networks_of_another_grid(version):
    with pytest.raises(CheckpointError, match=r"trained on 8\^3 voxels, the maps have 16\^3"):
        GeneratorActor(VoxelConfig(n=16)).generate(version, request("random"))


def test_a_screener_gives_values_and_none_for_what_is_not_known(version):
    rows, sigma = ScreenActor().predict(version, salts()[:3])
    assert [list(row) for row in rows] == [list(PROPERTIES)] * 3
    for row in rows:
        assert isinstance(row["formation_energy_per_atom"], float)
        assert [row[name] for name in PROPERTIES[3:]] == [None] * 5
    assert all(one["formation_energy_per_atom"] > 0 for one in sigma)


def test_a_screener_without_labels_is_not_sure_of_anything(tmp_path):
    save(tmp_path / "cgcnn", tiny_cgcnn(e_f_labels(12, known=0)), data_digest="tiny")
    rows, sigma = ScreenActor().predict(str(tmp_path), salts()[:2])
    assert [row["formation_energy_per_atom"] for row in rows] == [None, None]
    assert [one["formation_energy_per_atom"] for one in sigma] == [None, None]


def test_a_screener_turns_to_the_version_that_it_is_asked_for(version, tmp_path):
    error = (0.7,) + (0.0,) * 7
    save(tmp_path / "cgcnn", tiny_cgcnn(e_f_labels(12), error=error), data_digest="tiny")
    screener = ScreenActor()
    first, _ = screener.predict(version, salts()[:1])
    _, sigma = screener.predict(str(tmp_path), salts()[:1])
    assert [one["formation_energy_per_atom"] for one in sigma] == [pytest.approx(0.7)]
    assert screener.predict(version, salts()[:1])[0] == first
