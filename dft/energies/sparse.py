"""The one rule of when too little is known of a chemical system for a hull to say anything. No energies here.

A hull is only as good as what is known of its chemical system. Where too little is, there is no value but a sentence:

* an element of the system has no reference energy, or
* an element of the system occurs in no competing compound: an entry of two or more of the system's elements, of another
  composition than the crystal's, or imported. Other structures that this database relaxed at the crystal's own
  composition say which of them is best, not whether it decomposes.

So LiF needs another compound of Li and F or an imported set; SrTiO3 is judged with SrO and TiO2, although Sr and Ti
form none.
"""

from __future__ import annotations

from collections.abc import Iterable


def sparse_reason(
    elements: Iterable[str], missing: Iterable[str], competing: Iterable[Iterable[str]], where: str
) -> str | None:
    """Why a system is known too little to judge a crystal of it, as a sentence; None where it is not.

    Args:
        elements: of the crystal.
        missing: those of them without a reference energy.
        competing: the elements of each competing compound, all among the crystal's.
        where: as the sentence names what was searched, such as `in this scheme`.
    """
    system = frozenset(elements)
    name = "-".join(sorted(system))
    if absent := sorted(missing):
        return f"no hull for {name}: no reference energy of {', '.join(absent)} {where}"
    if alone := sorted(system.difference(*competing)):
        return (
            f"sparse hull for {name}: no competing compound with {', '.join(alone)} is known {where}; "
            "relax other compositions or import a reference set"
        )
    return None
