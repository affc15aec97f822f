"""`crystalloop evaluate`: trained networks judged on one part of a split; the rows are made in the modules beside it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.contacts import volume_window_ang3
from crystalloop.models.crystals.known import KnownCrystals
from crystalloop.models.crystals.properties import E_F, PROPERTIES
from crystalloop.models.data.corpus import Corpus, read_corpus
from crystalloop.models.data.rows import SPLITS
from crystalloop.models.draw.latents import draw_around, draw_random
from crystalloop.models.draw.lookahead import Critic, PropertiesOf
from crystalloop.models.draw.proposal import Draws, Proposal
from crystalloop.models.judge.drawn import EnergyOf, drawn_from
from crystalloop.models.judge.generation import decile_rows, funnel_rows, sample_rows, speed_rows
from crystalloop.models.judge.inputs import (
    EvaluateError,
    HeldOut,
    LoadedNetworks,
    Settings,
    any_element,
    bases_of,
    held_out,
    in_turn,
    load_networks,
    some_of,
)
from crystalloop.models.judge.properties import Predicted, predict, property_rows
from crystalloop.models.judge.reconstruction import Judged, failures_of, judge, reconstruction_rows
from crystalloop.models.judge.round_trip import (
    RoundTrip,
    config_for,
    decile_edges_of,
    made_from,
    round_trip,
    same_noise,
    voxels_of_true_maps,
)
from crystalloop.models.judge.rows import Row, in_order
from crystalloop.models.nets.cgcnn import CGCNN, predicted_by
from crystalloop.models.nets.unet import UNet
from crystalloop.models.nets.vae import DensityVAE

log = logging.getLogger(__name__)
SAMPLES, DRAWS_PER_BASE, NOISES = 1000, 1000, 100
"""Prior samples; draws round each base compound (the paper's Table 2); latents under ten conditions."""
SCALE = 1.0
"""Of the draws round a base, in the spread of the base's component of the prior (the paper: 0.5 of a N(0, I))."""
SHOWN = 8
"""Round trips that are kept whole, for the page's slices."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The rows, and what the page's figures are made from.

    Attributes:
        settings: what was asked.
        rows: in the order of the table.
        notes: sentences: absent networks, crystals left out.
        failures: reason -> round trips that gave no crystal.
        counts: crystals judged and known.
        networks: as loaded.
        held: the crystals of the round trips; None without VAE and UNet.
        judged: their round trips in numbers, in order.
        shown: some of the round trips whole.
        predicted, labels: of the property crystals, [b, 8].
    """

    settings: Settings
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    failures: dict[str, int]
    counts: dict[str, int]
    networks: LoadedNetworks
    held: Corpus | None = None
    judged: tuple[Judged, ...] = ()
    shown: tuple[RoundTrip, ...] = ()
    predicted: Predicted | None = None
    labels: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, len(PROPERTIES))))

    def as_json(self) -> dict[str, Any]:
        """The machine-readable table."""
        s = self.settings
        return {
            "folder": str(s.folder),
            "data": [str(path) for path in s.data],
            "properties": [str(path) for path in s.properties],
            "split": s.split,
            "limit": s.limit,
            "seed": s.seed,
            "counts": self.counts,
            "failures": self.failures,
            "notes": list(self.notes),
            "rows": [row.as_json() for row in self.rows],
        }


@any_element()
def evaluate(settings: Settings, say: Callable[[str], None] = log.info) -> Evaluation:
    """Measure every row that the networks of the folder allow.

    Args:
        settings: what to evaluate.
        say: told what is being measured.

    Raises:
        EvaluateError: an unknown part, no network, or no crystal that the networks take.
        CheckpointError: a damaged checkpoint, or networks of different grids.
        DataError: a data file that cannot be used.
    """
    if settings.split not in SPLITS:
        raise EvaluateError(f"no part {settings.split!r}; give --split {', '.join(SPLITS)}")
    if settings.limit is not None and settings.limit < 1:
        raise EvaluateError(f"--limit {settings.limit}: give at least 1")
    networks, notes = load_networks(settings.folder)
    say("reading crystals")
    corpus = read_corpus(settings.data, bad_rows=settings.bad_rows, units=settings.units)
    notes += corpus.left_out
    rows: list[Row] = []
    found: dict[str, Any] = {"counts": {}, "failures": {}}
    if networks.unet is not None:
        held = held_out(corpus, networks, settings)
        notes += held.notes
        found["counts"] |= {"crystals": len(held.part), "known_crystals": len(held.train)}
        rows += _maps_rows(networks, held, settings, found, say)
    if networks.cgcnn is not None:
        labelled = corpus
        if settings.properties:
            labelled = read_corpus(settings.properties, bad_rows=settings.bad_rows, units=settings.units)
            notes += labelled.left_out
        rows += _properties(networks.cgcnn, labelled, settings, found, say)
    return Evaluation(settings, tuple(in_order(rows)), notes, networks=networks, **found)


def _maps_rows(
    networks: LoadedNetworks, held: HeldOut, settings: Settings, found: dict[str, Any], say: Callable[[str], None]
) -> list[Row]:
    """Reconstruction and generation, or the UNet alone."""
    vae, unet, part = networks.vae, networks.unet, held.part
    assert unet is not None
    if vae is None:
        voxels = voxels_of_true_maps(unet, part.crystals)
        return [Row("voxel_recall_true", voxels.recall, float("nan"), len(part))]
    say(f"sending {len(part)} crystals through the networks")
    shown = _shown(part, settings.seed)
    judged, whole = [], []
    for i, trip in enumerate(
        round_trip(vae, unet, part.crystals, part.labels[:, PROPERTIES.index(E_F)], config_for(vae))
    ):
        judged.append(judge(trip))
        if i in shown:
            whole.append(trip)
    found |= {"held": part, "judged": tuple(judged), "shown": tuple(whole), "failures": failures_of(judged)}
    return [*reconstruction_rows(judged), *_generation(vae, unet, networks.cgcnn, held, settings, say)]


def _shown(part: Corpus, seed: int) -> set[int]:
    """Rows to show, every group in turn."""
    return set(in_turn(part, np.arange(len(part)), SHOWN, seed))


def _generation(
    vae: DensityVAE,
    unet: UNet,
    cgcnn: CGCNN | None,
    held: HeldOut,
    settings: Settings,
    say: Callable[[str], None],
) -> list[Row]:
    """Rows of new crystals: prior samples, deciles, the funnel, speed."""
    config, known = config_for(vae), KnownCrystals(held.train.crystals)
    window = volume_window_ang3(held.train.crystals)
    energy = _energy_of(cgcnn)
    critic = Critic(config.voxels, _proposes(cgcnn))
    rng = np.random.default_rng([settings.seed, 3])
    list(made_from(vae, unet, draw_random(vae, rng, 8, critic=critic), config))  # the first call compiles
    count = settings.most(SAMPLES)
    say(f"drawing {count} prior samples")

    def generate() -> tuple[Draws, list[Proposal | None]]:
        draws = draw_random(vae, rng, count, critic=critic)
        return draws, list(made_from(vae, unet, draws, config))

    rows, draws, proposals = speed_rows(generate, energy)
    fresh = drawn_from(proposals, draws.condition, energy, window)
    rows += sample_rows(fresh, known)
    edges = decile_edges_of(vae)
    if edges and energy is not None:
        again = same_noise(vae, rng, settings.most(NOISES), critic)
        say(f"drawing {len(again)} samples of the same noise under ten conditions")
        made = list(made_from(vae, unet, again, config))
        rows += decile_rows(fresh, drawn_from(made, again.condition, energy, window), edges)
    return [*rows, *_funnel(vae, unet, critic, energy, held, known, settings, say)]


def _funnel(
    vae: DensityVAE,
    unet: UNet,
    critic: Critic,
    energy: EnergyOf | None,
    held: HeldOut,
    known: KnownCrystals,
    settings: Settings,
    say: Callable[[str], None],
) -> list[Row]:
    bases = bases_of(held.part, settings.seed)
    if not bases:
        return []
    each, config = settings.most(DRAWS_PER_BASE), config_for(vae)
    window = volume_window_ang3(held.train.crystals)
    say(f"drawing {each} crystals round each of {len(bases)} bases")
    count = each * len(bases)
    rng = np.random.default_rng([settings.seed, 4])
    draws = draw_around(vae, rng, count, bases, config.voxels, SCALE, critic=critic)
    drawn = drawn_from(list(made_from(vae, unet, draws, config)), draws.condition, energy, window)
    return funnel_rows(drawn, bases, np.resize(np.arange(len(bases)), count), known)


def _energy_of(cgcnn: CGCNN | None) -> EnergyOf | None:
    """Predicted formation energies, if there is a network that was trained on any: the judge of what is proposed.

    It is the ensemble without its first member, which the draws are chosen by.
    """
    if cgcnn is None or not cgcnn.config.labels[PROPERTIES.index(E_F)]:
        return None
    says = predicted_by(cgcnn, slice(1, None) if cgcnn.config.members > 1 else slice(None))
    return lambda crystals: says(crystals)[:, PROPERTIES.index(E_F)].astype(np.float64)


def _proposes(cgcnn: CGCNN | None) -> PropertiesOf | None:
    """What the draws are chosen by: one member of the ensemble, which has no say in the judgement."""
    if cgcnn is None:
        return None
    return predicted_by(cgcnn, slice(0, 1))


def _properties(
    cgcnn: CGCNN, corpus: Corpus, settings: Settings, found: dict[str, Any], say: Callable[[str], None]
) -> list[Row]:
    labelled = np.isfinite(corpus.labels).any(axis=1)
    part = some_of(corpus.take(labelled & (corpus.split == settings.split)), settings)
    train = corpus.labels[corpus.split == "train"]
    if not len(part):
        return []
    say(f"predicting the properties of {len(part)} crystals")
    predicted = predict(cgcnn, part.crystals)
    counts = dict(zip(PROPERTIES, cgcnn.config.labels, strict=True))
    known = np.isfinite(train).any(axis=0)
    means = {name: float(np.nanmean(train[:, i])) for i, name in enumerate(PROPERTIES) if known[i]}
    found["counts"] |= {"property_crystals": len(part)}
    found |= {"predicted": predicted, "labels": part.labels}
    return property_rows(predicted, part.labels, means, counts)
