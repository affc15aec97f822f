"""Magnetic moments of a crystal's sites: from a file's values to the species that pw.x gets, and back from its labels. Pure.

pw.x starts all atoms of a species from one moment, so an element whose sites differ is several species: Ni1 and Ni2. What
elements call for by themselves is in element_rules.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.structure import Structure

from crystalloop.dft.recipe.settings import InputError

MOMENT = "magmom"
"""Site property: Bohr magnetons, of either sign."""
KIND = "kind"
"""Site property of crystals read from pw.x: the label of the species, where one of them is not an element's symbol."""
MOST_KINDS = 10
"""pw.x 6.7 takes no more species."""
LARGEST_BOHR = 20.0
NEGLIGIBLE_BOHR = 0.1
"""Below it a moment of a file is what convergence left of none."""
_WIDTHS_BOHR = (0.3, 0.6, 1.0, 2.0, 4.0)
"""Moments of an element this near to each other begin as one species: a database's 1.687 and 1.689 are the same site."""


def site_moments(structure: Structure) -> tuple[float, ...]:
    """Bohr magnetons of each site; empty where the sites have none, or all of them 0."""
    given = structure.site_properties.get(MOMENT)
    if given is None or not all(isinstance(value, int | float) for value in given):
        return ()
    moments = tuple(round(float(value), 2) for value in given)
    return moments if any(moments) else ()


def without_moments(structure: Structure) -> Structure:
    """The crystal with neither moments nor labels of species; itself where it has none."""
    if not {MOMENT, KIND} & structure.site_properties.keys():
        return structure
    plain = structure.copy()
    for name in {MOMENT, KIND} & structure.site_properties.keys():
        plain.remove_site_property(name)
    return plain


def with_moments(structure: Structure, moments: Sequence[float]) -> Structure:
    """The crystal with these moments on its sites."""
    plain = without_moments(structure).copy()
    plain.add_site_property(MOMENT, [float(moment) for moment in moments])
    return plain


def kinds(structure: Structure) -> tuple[str, ...]:
    """The species of each site as pw.x calls it: the element, numbered where its moments differ, the largest first."""
    symbols, moments = [site.specie.symbol for site in structure], site_moments(structure)
    if not moments:
        return tuple(symbols)
    of: dict[str, list[float]] = {}
    for symbol, moment in sorted(set(zip(symbols, moments, strict=True)), key=lambda pair: -pair[1]):
        of.setdefault(symbol, []).append(moment)
    return tuple(
        symbol if len(of[symbol]) == 1 else f"{symbol}{of[symbol].index(moment) + 1}"
        for symbol, moment in zip(symbols, moments, strict=True)
    )


def kind_moments(structure: Structure) -> dict[str, float]:
    """Species -> Bohr magnetons to start from; empty where the sites have no moments."""
    moments = site_moments(structure)
    return dict(sorted(set(zip(kinds(structure), moments, strict=True)))) if moments else {}


def symbol_of(kind: str) -> str:
    """The element of a species' label: Ni of Ni2."""
    found = re.match(r"[A-Z][a-z]?", kind)
    return found[0] if found else kind


def with_moments_of(found: Structure, given: Structure) -> Structure:
    """A crystal that pw.x wrote, with the moments of the one that it was given, species by species.

    Without any where the labels are not those that `given` has: a launch that went on without spin.
    """
    moments = kind_moments(given)
    labels = found.site_properties.get(KIND) or [site.specie.symbol for site in found]
    if not moments or not set(labels) <= moments.keys():
        return without_moments(found)
    return with_moments(found, [moments[str(label)] for label in labels])


def raised(structure: Structure, least: Mapping[str, float]) -> tuple[Structure, tuple[str, ...]]:
    """The crystal with the moments of each element scaled up, where their largest is below `least`; and what was.

    From a moment that is too large the SCF comes down to the true one; from one that is too small it may fall to none: NiO
    began from 1 and -1 Bohr magnetons and ended without any, from 2 and -2 it is an antiferromagnet.

    Args:
        structure: with collinear moments.
        least: element -> Bohr magnetons.
    """
    symbols, moments = [site.specie.symbol for site in structure], site_moments(structure)
    largest = {s: max(abs(m) for s2, m in zip(symbols, moments, strict=True) if s2 == s) for s in set(symbols)}
    low = {s: least[s] / size for s, size in largest.items() if 0 < size < least.get(s, 0.0)}
    if not low:
        return structure, ()
    told = ", ".join(f"{s} {least[s]:g} in place of {largest[s]:g}" for s in sorted(low))
    scaled = [moment * low.get(s, 1.0) for s, moment in zip(symbols, moments, strict=True)]
    return with_moments(structure, scaled), (
        f"order and signs of the moments are the file's, their sizes begin higher ({told}): pw.x comes down to the true "
        "ones, and would fall to none from below",
    )


def as_start(structure: Structure) -> tuple[Structure, tuple[str, ...]]:
    """A crystal as a file gives it, with its moments as pw.x can start from them, and what its user should hear.

    Args:
        structure: `magmom` may be numbers, vectors or gaps.

    Returns:
        The crystal with collinear moments of few sizes, or without any; and sentences.

    Raises:
        InputError: a moment is no number, or beyond 20 Bohr magnetons.
    """
    given = structure.site_properties.get(MOMENT)
    if given is None or all(value is None for value in given):
        return without_moments(structure), ()
    vectors = np.array([_vector(value, place) for place, value in enumerate(given, start=1)])  # [a, 3]
    if np.linalg.norm(vectors, axis=1).max() < NEGLIGIBLE_BOHR:
        return without_moments(structure), ("all moments of the file are 0: the elements decide about spin",)
    along = _collinear(vectors)
    if along is None:
        return without_moments(structure), (
            "moments of the file are not used: they are not collinear, which cannot be computed here; the elements decide "
            "about spin, and --moments gives a collinear start",
        )
    return _of_few_sizes(structure, along)


def _vector(value: Any, place: int) -> NDArray[np.float64]:  # noqa: ANN401  (of a file)
    """Of a number, along z; of a gap, nothing."""
    try:
        numbers = np.atleast_1d(np.asarray(0.0 if value is None else getattr(value, "moment", value), float)).ravel()
    except (TypeError, ValueError):
        numbers = np.array([np.nan])
    vector = np.array([0.0, 0.0, numbers[0]]) if len(numbers) == 1 else numbers
    if vector.shape != (3,) or not np.linalg.norm(vector) <= LARGEST_BOHR:
        raise InputError(
            f"the moment of site {place} is {value!r}, wanted are Bohr magnetons up to {LARGEST_BOHR:g}: mend it in the file"
        )
    return vector


def _collinear(vectors: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Signed sizes along the common axis, on which the first moment that is not small points up; None without one."""
    sizes = np.linalg.norm(vectors, axis=1)
    if not vectors[:, :2].any():
        return vectors[:, 2]
    axis = vectors[int(np.argmax(sizes >= NEGLIGIBLE_BOHR))]
    along = np.asarray(vectors @ axis / np.linalg.norm(axis))
    return along if np.allclose(np.abs(along), sizes, atol=0.02 * float(sizes.max())) else None


def _of_few_sizes(structure: Structure, along: NDArray[np.float64]) -> tuple[Structure, tuple[str, ...]]:
    symbols = [site.specie.symbol for site in structure]
    for width in _WIDTHS_BOHR:
        moments = _gathered(symbols, along, width)
        started = with_moments(structure, moments)
        if len(set(kinds(started))) <= MOST_KINDS:
            coarse = f"moments of the file within {width:g} Bohr magnetons of each other begin as one"
            return started, (coarse,) if width > _WIDTHS_BOHR[0] else ()
    return without_moments(structure), (
        f"moments of the file are not used: they make more than {MOST_KINDS} species, all that pw.x takes; the elements "
        "decide about spin",
    )


def _gathered(symbols: Sequence[str], along: NDArray[np.float64], width: float) -> list[float]:
    """Each moment, or the mean of those of its element and sign that are near: next neighbours, one behind the other."""
    gathered = np.where(np.abs(along) < NEGLIGIBLE_BOHR, 0.0, along)
    for symbol in set(symbols):
        for sign in (-1, 1):
            mine = [i for i, other in enumerate(symbols) if other == symbol and sign * gathered[i] > 0]
            mine.sort(key=lambda i: float(along[i]))
            groups: list[list[int]] = []
            for i in mine:
                if groups and along[i] - along[groups[-1][-1]] <= width:
                    groups[-1].append(i)
                else:
                    groups.append([i])
            for group in groups:
                gathered[group] = round(float(along[group].mean()), 2)
    return [float(moment) + 0.0 for moment in gathered]
