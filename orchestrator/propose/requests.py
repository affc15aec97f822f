"""What a round asks of the generator: batches of random draws, draws around and between bases. Pure; nothing is drawn here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crystalloop.models.crystals.elements import atomic_numbers
from crystalloop.models.crystals.properties import E_F, PROPERTIES
from crystalloop.models.data.corpus import Corpus
from crystalloop.models.draw.proposal import Base, Kind
from crystalloop.models.draw.target import Range
from crystalloop.models.generate.base import DrawRequest
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.loop.nets import NETS

DRAWS_PER_CALL = 64
"""Latents in one actor call: many small calls cost more than the work."""


def draw_requests(
    campaign: Campaign, round_: int, training: Corpus, bases: Sequence[Base], place: int = 0
) -> list[DrawRequest]:
    """Batches of latents: the campaign's shares of random, around and between, as one of the NETS casts them."""
    generation, net = campaign.generate, NETS[place]
    shares = {Kind.RANDOM: generation.random, Kind.AROUND: generation.around, Kind.BETWEEN: generation.between}
    if len(bases) < 2:
        shares[Kind.BETWEEN] = 0.0
    if not bases:
        shares[Kind.AROUND] = 0.0
        shares[Kind.RANDOM] = 1.0
    total = sum(shares.values()) or 1.0
    allowed = tuple(sorted(atomic_numbers()[symbol] for symbol in campaign.elements))
    energies = _wanted_energies(campaign, training)
    requests: list[DrawRequest] = []
    for kind, share in shares.items():
        left = net.draws * round(generation.per_round * share / total)
        while left > 0:
            size = min(DRAWS_PER_CALL, left)
            requests.append(
                DrawRequest(
                    kind=kind,
                    count=size,
                    seed=_seed(campaign.seed, round_, len(requests), place),
                    bases=tuple(bases),
                    wanted=_ranges(campaign),
                    e_f_ev=energies if kind is Kind.RANDOM else None,
                    scale=net.scale * generation.scale,
                    allowed=allowed,
                )
            )
            left -= size
    return requests


def _seed(seed: int, round_: int, number: int, place: int) -> int:
    """Of one batch; a wider net has seeds of its own."""
    entropy = [seed, round_, number] if place == 0 else [seed, round_, number, place]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])


def _ranges(campaign: Campaign) -> tuple[Range, ...]:
    """The target's ranges of what the networks predict."""
    return tuple(one for one in campaign.target.ranges() if one.property in PROPERTIES)


def _wanted_energies(campaign: Campaign, training: Corpus) -> tuple[float, float] | None:
    """The one formation energy to condition on: the middle of the target's range, or the best that is known."""
    target = campaign.target.for_networks()
    values = training.values(E_F)
    wanted = next((one for one in (target.as_range(), *target.also) if one.property == E_F), None)
    if wanted is None or not values:
        return None
    ends = [end for end in (wanted.low, wanted.high) if np.isfinite(end)]
    energy = float(np.mean(ends)) if ends else max(values, key=target.merit)
    return energy, energy
