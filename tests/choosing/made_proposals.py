"""Proposals with given predictions, and the scores that an acquirer gives them."""

from __future__ import annotations

import numpy as np
from cubic_crystals import decorated

from crystalloop.models.crystals.properties import E_F
from crystalloop.models.crystals.prototypes import Prototype
from crystalloop.models.draw.proposal import Kind, Proposal

SALTS = [("Na", "Cl"), ("K", "Br"), ("Mg", "O"), ("Ca", "S"), ("Al", "N"), ("Li", "F")]


def rng(seed=0):
    return np.random.default_rng(seed)


def one(mean, sigma=0.3, pair=("Na", "Cl"), kind=Prototype.ROCKSALT, name=E_F, **more):
    """A decoration with one prediction."""
    return Proposal(decorated(kind, pair), Kind.RANDOM, str(kind), predicted={name: mean}, sigmas={name: sigma}, **more)


def several(means, sigmas, name=E_F):
    """Of different formulas, up to six."""
    pairs = [SALTS[i % len(SALTS)] for i in range(len(means))]
    return [one(m, s, pair, name=name) for m, s, pair in zip(means, sigmas, pairs, strict=True)]


def scores(acquirer, given, target, history=None):
    """Of each given, in order."""
    chosen = acquirer.choose(given, target, len(given), rng(), *([history] if history else []))
    by_id = {id(proposal): score for proposal, score in chosen}
    return [by_id[id(proposal)] for proposal in given]
