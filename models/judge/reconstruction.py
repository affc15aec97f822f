"""Rows about held-out crystals sent through VAE and UNet and back. The networks run in `models.judge.round_trip`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.analysis.structure_matcher import StructureMatcher

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.judge.metrics import VoxelTally, cell_errors_ang, mean, share
from crystalloop.models.judge.round_trip import MapErrors, RoundTrip
from crystalloop.models.judge.rows import NAN, Row
from crystalloop.models.judge.site_metrics import (
    SpeciesTally,
    emd_ang,
    same_composition,
    same_contents,
    site_error_ang,
    site_error_shifted_ang,
    tally_species,
)
from crystalloop.models.maps.channels import Floats
from crystalloop.models.nets.vae import active_units

LTOL, STOL, ANGLE_TOL = 0.3, 0.5, 10.0
"""Of pymatgen's StructureMatcher, as in the CDVAE paper (Xie et al. 2021)."""


@dataclass(frozen=True, eq=False)
class Judged:
    """One crystal's round trip in numbers; what needs a crystal is NaN (or None) for a failure.

    Attributes:
        failure: why there is no crystal.
        atoms, found: true and found number of sites.
        cell_decoded, cell: absolute errors of a, b, c from the coordinate channels and of the structure, angstrom, [3].
        emd, site, site_shift: site errors, angstrom.
        species: true sites by what was found there.
        composition, contents: whether the reduced formula, and the cell's atoms, are right.
        voxels, voxels_of_true: species map from the decoded and from the true map.
        errors: of the decoded map.
        rms, rms_symmetrised: of the match with the true crystal over (V/N)^(1/3); NaN without a match.
        latent, log_variance: [latent].
    """

    failure: str | None
    atoms: int
    found: int
    cell_decoded: NDArray[np.float64]
    cell: NDArray[np.float64]
    emd: float
    site: float
    site_shift: float
    species: SpeciesTally
    composition: bool
    contents: bool
    voxels: VoxelTally
    voxels_of_true: VoxelTally
    errors: MapErrors
    rms: float
    rms_symmetrised: float
    latent: Floats
    log_variance: Floats


def judge(trip: RoundTrip) -> Judged:
    """Every measure of one round trip; the maps are not kept."""
    true, raw = trip.true, trip.raw
    return Judged(
        failure=trip.failure,
        atoms=len(true),
        found=len(raw) if raw is not None else 0,
        cell_decoded=cell_errors_ang(true.lattice, trip.lattice),
        cell=cell_errors_ang(true.lattice, raw.lattice) if raw is not None else np.full(3, np.nan),
        emd=emd_ang(true, raw) if raw is not None else NAN,
        site=site_error_ang(true, raw),
        site_shift=site_error_shifted_ang(true, raw),
        species=tally_species(true, raw),
        composition=raw is not None and same_composition(true, raw),
        contents=same_contents(true, raw),
        voxels=trip.voxels,
        voxels_of_true=trip.voxels_of_true,
        errors=trip.errors,
        rms=match_rms(true, raw),
        rms_symmetrised=match_rms(true, trip.crystal),
        latent=trip.latent,
        log_variance=trip.log_variance,
    )


def match_rms(true: Crystal, found: Crystal | None) -> float:
    """Root mean square displacement over (V/N)^(1/3) after StructureMatcher's best match; NaN where none is found."""
    if found is None:
        return NAN
    matcher: Any = StructureMatcher(ltol=LTOL, stol=STOL, angle_tol=ANGLE_TOL)
    result = matcher.get_rms_dist(true.to_structure(), found.to_structure())
    return NAN if result is None else float(result[0])


def reconstruction_rows(judged: Sequence[Judged]) -> list[Row]:
    """The rows, in two columns."""
    read = [one for one in judged if one.failure is None]
    if not judged:
        return []
    return [
        *_cell_and_sites(judged, read),
        *_species(judged, read),
        *_maps(judged, read),
        *_matches(judged, read),
        _active_units(judged),
    ]


def failures_of(judged: Iterable[Judged]) -> dict[str, int]:
    """How often each reason kept a crystal from being read."""
    return dict(Counter(one.failure for one in judged if one.failure is not None))


def _row(key: str, judged: Sequence[Judged], seed: float, strict: float, parts: dict[str, float] | None = None) -> Row:
    failures = sum(one.failure is not None for one in judged)
    return Row(key, seed, strict, len(judged), failures, parts or {})


def _cell_and_sites(judged: Sequence[Judged], read: Sequence[Judged]) -> list[Row]:
    edges = np.array([one.cell for one in read]).reshape(-1, 3)
    parts = {axis: mean(edges[:, i]) for i, axis in enumerate("abc")}
    exact = sum(one.found == one.atoms for one in read)
    return [
        _row("cell_mae", judged, mean(np.ravel([one.cell_decoded for one in read])), mean(edges.ravel()), parts),
        _row("site_error", judged, mean(one.emd for one in read), mean(one.site for one in judged)),
        _row("site_error_shift", judged, NAN, mean(one.site_shift for one in judged)),
        _row("sites_difference", judged, _difference(read), _difference(judged)),
        _row("exact_count", judged, share(exact, len(read)), share(exact, len(judged))),
    ]


def _difference(judged: Sequence[Judged]) -> float:
    return mean(abs(one.atoms - one.found) for one in judged)


def _species(judged: Sequence[Judged], read: Sequence[Judged]) -> list[Row]:
    sites = sum((one.species for one in judged), SpeciesTally())
    parts = {
        "one atomic number off": share(sites.next_element, sites.found),
        "another of the group": share(sites.same_group, sites.found),
        "site found": share(sites.found, sites.sites),
    }
    right = share(sum(one.composition for one in read), len(read))
    exact = share(sum(one.contents for one in judged), len(judged))
    return [
        _row("species_accuracy", judged, share(sites.right, sites.found), share(sites.right, sites.sites), parts),
        _row("composition_exact", judged, right, exact),
    ]


def _maps(judged: Sequence[Judged], read: Sequence[Judged]) -> list[Row]:
    together = sum((one.voxels for one in judged), VoxelTally())
    of_true = sum((one.voxels_of_true for one in judged), VoxelTally())
    errors = {
        name: mean(getattr(one.errors, name) for one in judged) for name in ("density", "compressed", "coordinates")
    }
    return [
        _row("voxel_recall", judged, together.recall, _per_crystal(judged, lambda one: one.voxels.recall)),
        Row("voxel_recall_true", of_true.recall, mean(one.voxels_of_true.recall for one in judged), len(judged)),
        _row(
            "occupancy_iou",
            judged,
            together.occupancy_iou,
            _per_crystal(judged, lambda one: one.voxels.occupancy_iou),
            {"true maps": of_true.occupancy_iou},
        ),
        Row("density_mse", errors["density"], errors["density"], len(judged)),
        Row("compressed_mse", errors["compressed"], errors["compressed"], len(judged)),
        Row("coordinate_mse", errors["coordinates"], errors["coordinates"], len(judged)),
    ]


def _per_crystal(judged: Sequence[Judged], value: Callable[[Judged], float]) -> float:
    """Mean over all crystals, 0 for those that could not be read."""
    return mean(0.0 if one.failure is not None else value(one) for one in judged)


def _matches(judged: Sequence[Judged], read: Sequence[Judged]) -> list[Row]:
    rows = []
    for suffix, rms in (("", [one.rms for one in judged]), ("_symmetrised", [one.rms_symmetrised for one in judged])):
        matched = int(np.isfinite(rms).sum())
        rows += [
            _row(f"match_rate{suffix}", judged, share(matched, len(read)), share(matched, len(judged))),
            Row(f"match_rmse{suffix}", mean(rms), mean(rms), matched),
        ]
    return rows


def _active_units(judged: Sequence[Judged]) -> Row:
    active = float(
        active_units(np.array([one.latent for one in judged]), np.array([one.log_variance for one in judged]))
    )
    return Row("active_units", active, active, len(judged), parts={"dimensions": float(len(judged[0].latent))})
