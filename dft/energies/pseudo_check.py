"""A whole set of pseudopotentials checked: every md5, and what the files say of themselves. Copying is in pseudos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from crystalloop.dft.energies.ground_states import supported_elements
from crystalloop.dft.recipe.pseudos import ACTINIDES, LANTHANIDES, CorruptPseudo, PseudoTable
from crystalloop.dft.recipe.upf import NotUpf, UpfHeader, read_upf_header


@dataclass(frozen=True)
class CheckedSet:
    """What a set of files is."""

    count: int
    functional: str
    kinds: dict[str, int]  # NC, US, PAW -> how many

    def sentence(self) -> str:
        """As one line."""
        kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(self.kinds.items()))
        return f"{self.count} pseudopotentials, every md5 right: {self.functional}, {kinds}"


def check_set(table: PseudoTable, elements: Iterable[str] | None = None) -> CheckedSet:
    """Check the files of a set.

    Args:
        table: with its folder.
        elements: which; None for all but the actinides.

    Raises:
        MissingPseudo: an element or its file is missing.
        CorruptPseudo: an md5 is wrong, a file is no UPF file, of another element or made for spin-orbit coupling, or the
            files are of two functionals.
    """
    chosen = sorted(set(table.entries) - ACTINIDES if elements is None else set(elements))
    table.check(chosen)
    headers = {element: _header(table, element) for element in chosen}
    functionals = Counter(header.functional for header in headers.values())
    if len(functionals) > 1:
        (main, _), *_ = functionals.most_common()
        odd = [f"{element} {header.functional}" for element, header in headers.items() if header.functional != main]
        raise CorruptPseudo(
            f"the set in {table.folder} mixes functionals: {main}, but {', '.join(odd[:6])}; "
            "energies of two functionals cannot be subtracted: take one set"
        )
    return CheckedSet(len(chosen), next(iter(functionals), "none"), dict(Counter(h.kind for h in headers.values())))


def element_note(element: str) -> str:
    """What to know about an element before it is put into a campaign; empty where there is nothing."""
    if element in ACTINIDES:
        return "refused: actinides need more than PBE"
    notes = ["f electrons in valence"] if element in LANTHANIDES else []
    return ", ".join(notes + ([] if element in supported_elements() else ["no elemental reference"]))


def _header(table: PseudoTable, element: str) -> UpfHeader:
    path = table.folder / table[element].filename
    try:
        header = read_upf_header(path)
    except NotUpf as error:
        raise CorruptPseudo(
            f"{path} is no UPF file ({error}), though its md5 is the table's: mend the table"
        ) from error
    if header.element != element:
        raise CorruptPseudo(
            f"{path} is of {header.element or 'no element'}, the table has it for {element}: mend the table"
        )
    if header.spin_orbit:
        raise CorruptPseudo(f"{path} is made for spin-orbit coupling: take the scalar-relativistic file of {element}")
    return header
