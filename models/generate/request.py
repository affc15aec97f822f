"""The work of `crystalloop generate`: latents to crystals, through a counted funnel, to rows. Files: generated."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from crystalloop.models.crystals.contacts import is_valid_strict
from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.elements import atomic_number
from crystalloop.models.crystals.known import KnownCrystals
from crystalloop.models.crystals.properties import PROPERTIES
from crystalloop.models.data.corpus_file import NAME, load_corpus
from crystalloop.models.draw.target import Range
from crystalloop.models.generate.bases import TrainingCrystals, read_base
from crystalloop.models.generate.results import Generated, Made, row_of
from crystalloop.models.maps.voxels import VoxelConfig

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

    from crystalloop.models.draw.proposal import Base, Draws, Proposal
    from crystalloop.models.nets.cgcnn import CGCNN
    from crystalloop.models.nets.unet import UNet
    from crystalloop.models.nets.vae import DensityVAE


Mode = Literal["random", "around", "between"]
E_F = "formation_energy_per_atom"
BATCH = 64
"""Latents decoded at a time."""
MOST_PER_CRYSTAL = 50
"""Latents drawn for each crystal asked for, before giving up; the paper's funnel keeps 1 of 50."""
STAGES = ("generated", "read", "valid", "new", "unique", "meets target")

Tell = Callable[[str], None]


class GenerateError(Exception):
    """Something asked of `generate` that cannot be done; the message has the next move."""

    exit_kind = "usage"


@dataclass(frozen=True)
class GenerateRequest:
    """What the user asked for.

    Attributes:
        models: folder with vae, unet, and cgcnn for predictions.
        mode: how latents are drawn.
        compounds: one or more to draw around, two or more to draw between.
        wanted: ranges that predictions must lie in; a range of formation energies conditions the VAE too.
        count: crystals to hand back.
        seed: the same seed gives the same crystals.
        scale: of the spread of a draw round a base, in that of its component of the prior.
        elements: symbols that may occur; all when empty.
        keep_known: hand back crystals that the networks were trained on, too.
    """

    models: Path
    mode: Mode
    compounds: tuple[str, ...] = ()
    wanted: tuple[Range, ...] = ()
    count: int = 20
    seed: int = 0
    scale: float = 1.0
    elements: tuple[str, ...] = ()
    keep_known: bool = False

    @property
    def allowed(self) -> list[int] | None:
        """Atomic numbers that may occur; all when None."""
        return sorted(atomic_number(symbol) for symbol in self.elements) or None


@dataclass(frozen=True)
class Networks:
    """The trained networks of a folder; without a CGCNN nothing is predicted."""

    vae: DensityVAE
    unet: UNet
    cgcnn: CGCNN | None

    @property
    def voxels(self) -> VoxelConfig:
        """The grid that they were trained on."""
        return VoxelConfig(n=self.vae.config.n)


@dataclass
class _Funnel:
    """Counts, and what has been seen, over all batches of one call."""

    known: TrainingCrystals
    keep_known: bool
    counts: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    seen: KnownCrystals = field(default_factory=KnownCrystals)

    def passes(self, structure: Structure) -> str | None:
        """Novelty of a crystal that is valid, new and not drawn before (`unknown` without a corpus); else None."""
        if not is_valid_strict(Crystal.from_structure(structure)):
            return None
        self.counts["valid"] += 1
        novelty = self.known.novelty(Crystal.from_structure(structure))
        if novelty == "known" and not self.keep_known:
            return None
        self.counts["new"] += novelty != "known"
        if not self.seen.takes(structure):
            return None
        self.counts["unique"] += 1
        return novelty


def generate(request: GenerateRequest, tell: Tell) -> Generated:
    """Draw, decode, read and sift until the count is reached, or MOST_PER_CRYSTAL latents for each.

    Raises:
        GenerateError: no such folder, a compound too few, a target without a CGCNN.
        CompoundError, CheckpointError, DataError: see read_base, models.nets.checkpoint.load, load_corpus.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "No Pauling electronegativity")  # pymatgen's, of noble gases
        return _generate(request, tell)


def _generate(request: GenerateRequest, tell: Tell) -> Generated:
    networks = load_networks(request)
    corpus = request.models / NAME
    known = TrainingCrystals(load_corpus(corpus) if corpus.exists() else None)
    notes = () if corpus.exists() else (f"{corpus} is missing: novelty stays unknown",)
    bases = _bases(request, networks, known)
    funnel, made = _Funnel(known, request.keep_known), list[Made]()
    for batch in range(-(-request.count * MOST_PER_CRYSTAL // BATCH)):
        rng = np.random.default_rng([request.seed, batch])
        made += _one_batch(request, networks, draw(request, networks, bases, rng, BATCH), funnel)
        tell(f"{funnel.counts['generated']} latents, {min(len(made), request.count)} of {request.count} crystals")
        if len(made) >= request.count:
            break
    stages = STAGES if request.wanted else STAGES[:-1]
    counts = {stage: funnel.counts[stage] for stage in stages}
    return Generated(tuple(made[: request.count]), counts, dict(funnel.failures), notes)


def load_networks(request: GenerateRequest) -> Networks:
    """Load what the request needs.

    Raises:
        GenerateError: no such folder, or predictions are wanted without a CGCNN.
        CheckpointError: a network is missing, damaged, or of another grid than the VAE.
    """
    from crystalloop.models.nets.cgcnn import CGCNN
    from crystalloop.models.nets.checkpoint import load
    from crystalloop.models.nets.unet import UNet
    from crystalloop.models.nets.vae import DensityVAE

    if not request.models.is_dir():
        raise GenerateError(f"{request.models}: no such folder; train networks with `crystalloop train --out FOLDER`")
    least = {"random": 0, "around": 1, "between": 2}[request.mode]
    if len(request.compounds) < least or (least == 0 and request.compounds):
        raise GenerateError(
            f"{request.mode} takes {least or 'no'} compound{'s' * (least != 1)}"
            f"{' or more' * (least > 0)}, got {len(request.compounds)}; see `crystalloop generate --help`"
        )
    vae = load(request.models / "vae", DensityVAE)
    unet = load(request.models / "unet", UNet, n=vae.config.n)
    has_cgcnn = (request.models / "cgcnn").exists()
    if request.wanted and not has_cgcnn:
        raise GenerateError(
            f"--target needs predictions, and {request.models / 'cgcnn'} is missing; train it with "
            "`crystalloop train --only cgcnn`, or leave --target out"
        )
    return Networks(vae, unet, load(request.models / "cgcnn", CGCNN) if has_cgcnn else None)


def draw(
    request: GenerateRequest, networks: Networks, bases: Sequence[Base], rng: np.random.Generator, count: int
) -> Draws:
    """Latents and their conditions. The one place that knows how a target conditions the VAE."""
    from crystalloop.models.draw.latents import draw_around, draw_between, draw_random
    from crystalloop.models.draw.lookahead import Critic
    from crystalloop.models.nets.cgcnn import predicted_by
    from crystalloop.models.nets.configs import DECILES

    vae, voxels = networks.vae, networks.voxels
    deciles = wanted_deciles(vae, request.wanted)
    properties = None if networks.cgcnn is None else predicted_by(networks.cgcnn)
    critic = Critic(voxels, properties, None if request.allowed is None else tuple(request.allowed))
    if request.mode == "random":
        return draw_random(vae, rng, count, deciles, request.wanted, critic)
    if request.mode == "around":
        draws = draw_around(vae, rng, count, bases, voxels, request.scale, request.wanted, critic)
    else:
        draws = draw_between(vae, rng, count, bases, voxels, request.scale / 2, request.wanted, critic)
    if deciles is None:
        return draws
    return replace(draws, condition=np.eye(DECILES, dtype=np.float32)[np.resize(deciles, count)])


def wanted_deciles(vae: DensityVAE, wanted: Sequence[Range]) -> list[int] | None:
    """Deciles of the formation energy that overlap the wanted range; None where none is wanted, or none is known."""
    ranges = [one for one in wanted if one.property == E_F]
    if not ranges or not vae.config.decile_edges_ev:
        return None
    low, high = np.searchsorted(vae.config.decile_edges_ev, [ranges[0].low, ranges[0].high])
    return list(range(int(low), int(high) + 1))


def _bases(request: GenerateRequest, networks: Networks, known: TrainingCrystals) -> list[Base]:
    """The compounds; where a formation energy is not known, the predicted one gives the condition."""
    bases = [read_base(text, known, cubic=networks.vae.config.cubic) for text in request.compounds]
    unknown = [base for base in bases if base.e_f_ev is None]
    if not unknown or networks.cgcnn is None:
        return bases
    rows, _ = _predict(networks.cgcnn, [base.crystal for base in unknown])
    predicted = {id(base): row[E_F] for base, row in zip(unknown, rows, strict=True)}
    return [replace(base, e_f_ev=predicted.get(id(base), base.e_f_ev)) for base in bases]


def _one_batch(request: GenerateRequest, networks: Networks, draws: Draws, funnel: _Funnel) -> list[Made]:
    from crystalloop.models.generate.density_vae import GenerateConfig, propose

    proposals = propose(networks.vae, networks.unet, draws, GenerateConfig(voxels=networks.voxels), request.allowed)
    funnel.counts["generated"] += len(draws)
    funnel.counts["read"] += len(proposals.made)
    funnel.failures.update(proposals.failures)
    kept: list[tuple[Proposal, Structure, str]] = []
    for proposal in proposals.made:
        structure = proposal.crystal.to_structure()
        novelty = funnel.passes(structure)
        if novelty is not None:
            kept.append((proposal, structure, novelty))
    rows, sigmas = _predict(networks.cgcnn, [proposal.crystal for proposal, _, _ in kept])
    made = [
        Made(structure, row_of(proposal, structure, novelty, row, sigma))
        for (proposal, structure, novelty), row, sigma in zip(kept, rows, sigmas, strict=True)
        if all(one.holds(row[one.property]) for one in request.wanted)
    ]
    funnel.counts["meets target"] += len(made)
    return made


def _predict(
    cgcnn: CGCNN | None, crystals: Sequence[Crystal]
) -> tuple[list[dict[str, float | None]], list[float | None]]:
    """Property -> value of each crystal, and sigma of the formation energy in eV/atom; None where unknown."""
    from crystalloop.models.nets.cgcnn import predict_properties

    if cgcnn is None or not crystals:
        return [dict.fromkeys(PROPERTIES) for _ in crystals], [None] * len(crystals)
    values, sigma = predict_properties(cgcnn, crystals)
    rows = [{name: _known(column[i]) for name, column in values.items()} for i in range(len(crystals))]
    return rows, [_known(one) for one in sigma]


def _known(value: np.floating[Any]) -> float | None:
    return round(float(value), 5) if np.isfinite(value) else None
