"""Where the results and launches of each file of one `crystalloop relax` go. Reads and writes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from crystalloop.dft.alone.folder import RelaxInputError

FORMATS = {"cif": ".cif", "poscar": ".vasp", "extxyz": ".extxyz"}
"""Formats in which a relaxed crystal is written, and the endings of their files."""


@dataclass(frozen=True)
class Destination:
    """Of one file."""

    file: Path
    target: Path  # the relaxed crystal
    folder: Path  # of pw.x


def places(files: Sequence[Path], target: Path | None, folder: Path | None) -> tuple[Destination, ...]:
    """The place of each file; of several with one name, each has that of its folder before it.

    Args:
        files: as given.
        target: for one file its relaxed crystal, for several a folder of them; None for here.
        folder: for one file that of pw.x, for several the one that holds those of each.

    Raises:
        RelaxInputError: the same file twice, or a file in place of a folder.
    """
    twice = sorted(str(file) for file, count in Counter(file.resolve() for file in files).items() if count > 1)
    if twice:
        raise RelaxInputError(f"{twice[0]} is given twice; give each file once")
    if len(files) == 1:
        cif = target or Path(f"{files[0].stem}-relaxed.cif")
        return (Destination(files[0], cif, folder or cif.parent / f"{files[0].stem}-relax"),)
    if target is not None and (target.suffix or target.is_file()):
        raise RelaxInputError(f"--out {target} is one file, and {len(files)} crystals were given; give a folder")
    into = target or Path()
    return tuple(
        Destination(file, into / f"{name}-relaxed.cif", (folder or into) / f"{name}-relax")
        for file, name in zip(files, _names(files), strict=True)
    )


def _names(files: Sequence[Path]) -> list[str]:
    """Stems, with as many of their folders before them as tell them apart."""
    names = [file.stem for file in files]
    for depth in range(1, max(len(file.resolve().parts) for file in files)):
        equal = {name for name, count in Counter(name.lower() for name in names).items() if count > 1}
        if not equal:
            break
        for place, file in enumerate(files):
            if names[place].lower() in equal:
                names[place] = "-".join([*file.resolve().parts[-1 - depth : -1], file.stem]).lstrip("/")
    if len({name.lower() for name in names}) < len(names):  # x.cif beside x.vasp
        names = [f"{name}-{file.suffix.lstrip('.')}" for name, file in zip(names, files, strict=True)]
    return names


def formats_of(text: str) -> tuple[str, ...]:
    """`poscar,extxyz` as formats.

    Raises:
        RelaxInputError: one that is not written.
    """
    wanted = tuple(dict.fromkeys(word.strip().lower() for word in text.split(",") if word.strip()))
    unknown = [word for word in wanted if word not in FORMATS]
    if unknown:
        raise RelaxInputError(f"--write {unknown[0]!r}: wanted are {', '.join(FORMATS)}, with commas between them")
    return wanted


def format_of(path: Path) -> str:
    """The format that a file's name asks for; CIF where it says nothing."""
    if path.suffix.lower() in (".vasp", ".poscar", ".contcar") or path.name.upper().startswith(("POSCAR", "CONTCAR")):
        return "poscar"
    return "extxyz" if path.suffix.lower() in (".xyz", ".extxyz") else "cif"
