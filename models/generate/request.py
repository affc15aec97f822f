"""The work of `crystalloop generate`: a request to crystals, through the funnel, to rows. Files are written in `results`."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from crystalloop.models.crystals.elements import atomic_number
from crystalloop.models.crystals.properties import E_F
from crystalloop.models.data.corpus_file import NAME, load_corpus
from crystalloop.models.draw.proposal import Base, Kind, Proposal
from crystalloop.models.draw.target import Range
from crystalloop.models.generate.base import DrawRequest
from crystalloop.models.generate.bases import TrainingCrystals, read_base
from crystalloop.models.generate.density_vae import GenerateConfig, VAEGenerator
from crystalloop.models.generate.funnel import Filter, first_of_equals, meets, run_funnel, valid_distances, with_novelty
from crystalloop.models.generate.predictions import predict_rows
from crystalloop.models.generate.results import Generated, row_of
from crystalloop.models.maps.voxels import VoxelConfig
from crystalloop.models.nets.cgcnn import CGCNN
from crystalloop.models.nets.checkpoint import load
from crystalloop.models.nets.unet import UNet
from crystalloop.models.nets.vae import DensityVAE

Mode = Literal["random", "around", "between"]
LATENTS_AT_ONCE = 64
MOST_PER_CRYSTAL = 50
"""Latents drawn for each crystal asked for, before giving up; the paper's funnel keeps 1 of 50."""
DECIMALS = 5
"""Of predictions, in rows and against the target."""


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
    def allowed(self) -> tuple[int, ...] | None:
        """Atomic numbers that may occur; all when None."""
        return tuple(sorted(atomic_number(symbol) for symbol in self.elements)) or None


def generate(request: GenerateRequest, say: Callable[[str], None]) -> Generated:
    """Draw, decode, read and sift until the count is reached, or MOST_PER_CRYSTAL latents for each.

    Raises:
        GenerateError: no such folder, a compound too few, a target without a CGCNN.
        CompoundError, CheckpointError, DataError: see read_base, models.nets.checkpoint.load, load_corpus.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "No Pauling electronegativity")  # pymatgen's, of noble gases
        return _generate(request, say)


def _generate(request: GenerateRequest, say: Callable[[str], None]) -> Generated:
    generator = load_generator(request)
    corpus = request.models / NAME
    known = TrainingCrystals(load_corpus(corpus) if corpus.exists() else None)
    notes = () if corpus.exists() else (f"{corpus} is missing: novelty stays unknown",)
    bases = _bases(request, generator, known)
    filters = _filters(request, generator, known)
    counts, failures, made = Counter[str](), Counter[str](), list[Proposal]()
    for batch in range(-(-request.count * MOST_PER_CRYSTAL // LATENTS_AT_ONCE)):
        proposals = generator.generate(draw_request(request, bases, batch, LATENTS_AT_ONCE))
        funnel = run_funnel(proposals.made, filters, len(proposals.each), "read")
        made += funnel.survivors
        failures.update(proposals.failures)
        counts.update(dict(funnel.counts))
        say(f"{counts['generated']} latents, {min(len(made), request.count)} of {request.count} crystals")
        if len(made) >= request.count:
            break
    stages = ("generated", "read", *(stage.name for stage in filters[: None if request.wanted else -1]))
    kept = tuple(made[: request.count])
    return Generated(
        kept, tuple(row_of(one) for one in kept), {stage: counts[stage] for stage in stages}, dict(failures), notes
    )


def _filters(
    request: GenerateRequest, generator: VAEGenerator, known: TrainingCrystals
) -> tuple[Filter[Proposal], ...]:
    """The stages, in their order; equal crystals are equal over all batches."""

    def predict(proposals: Sequence[Proposal]) -> list[Proposal]:
        rows, sigmas = predict_rows(generator.cgcnn, [one.crystal for one in proposals], DECIMALS)
        each = zip(proposals, rows, sigmas, strict=True)
        return [replace(one, predicted=row, sigma=sigma[E_F], sigmas=sigma) for one, row, sigma in each]

    return (
        valid_distances("valid"),
        with_novelty(known, keep_known=request.keep_known),
        first_of_equals(),
        meets(request.wanted, predict),
    )


def load_generator(request: GenerateRequest) -> VAEGenerator:
    """Load what the request needs.

    Raises:
        GenerateError: no such folder, or predictions are wanted without a CGCNN.
        CheckpointError: a network is missing, damaged, or of another grid than the VAE.
    """
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
    cgcnn = load(request.models / "cgcnn", CGCNN) if has_cgcnn else None
    return VAEGenerator(vae, unet, cgcnn, GenerateConfig(voxels=VoxelConfig(n=vae.config.n)))


def draw_request(
    request: GenerateRequest, bases: Sequence[Base], batch: int, count: int = LATENTS_AT_ONCE
) -> DrawRequest:
    """The draws of one batch."""
    return DrawRequest(
        kind=Kind(request.mode),
        count=count,
        seed=(request.seed, batch),
        bases=tuple(bases),
        wanted=request.wanted,
        e_f_ev=wanted_energies(request.wanted),
        scale=request.scale,
        allowed=request.allowed,
    )


def wanted_energies(wanted: Sequence[Range]) -> tuple[float, float] | None:
    """The formation energies that are wanted, eV/atom; None where any will do."""
    return next(((one.low, one.high) for one in wanted if one.property == E_F), None)


def _bases(request: GenerateRequest, generator: VAEGenerator, known: TrainingCrystals) -> list[Base]:
    """The compounds; where a formation energy is not known, the predicted one gives the condition."""
    bases = [read_base(text, known, cubic=generator.vae.config.cubic) for text in request.compounds]
    unknown = [base for base in bases if base.e_f_ev is None]
    rows, _ = predict_rows(generator.cgcnn, [base.crystal for base in unknown], DECIMALS)
    predicted = {id(base): row[E_F] for base, row in zip(unknown, rows, strict=True)}
    return [replace(base, e_f_ev=predicted.get(id(base), base.e_f_ev)) for base in bases]
