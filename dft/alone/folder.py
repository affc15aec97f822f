"""The folder of one relaxation: whose crystal it holds, and that one command at a time works in it. Starts no pw.x."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pymatgen.core.structure import Structure

from crystalloop.dft.pw.launch import STDOUT
from crystalloop.dft.pw.output import parse_pw_output
from crystalloop.dft.pw.run import ScratchNotWritable
from crystalloop.dft.recipe.moments import kind_moments, kinds
from crystalloop.dft.recipe.whole_file import whole

log = logging.getLogger(__name__)
LOCK, IDENTITY = "relax.lock", "relax.json"


class RelaxInputError(ValueError):
    """What was given to `crystalloop relax` cannot be used."""

    exit_kind = "usage"


@contextmanager
def claimed(folder: Path, file: Path, structure: Structure) -> Iterator[None]:
    """Hold the folder for one command; the kernel lets go of it whatever ends the process.

    Args:
        folder: made if missing.
        file: that the crystal was read from, for the sentence.
        structure: as read. Launches of another crystal must not be gone on from.

    Raises:
        RelaxInputError: another command works there, or it holds the launches of another crystal.
        ScratchNotWritable: it cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise ScratchNotWritable(
            f"{folder} cannot be written ({error.strerror or error}): make it writable, or choose another --folder"
        ) from error
    try:
        if not _locked(handle):
            other = os.read(handle, 40).decode(errors="replace").strip() or "unknown"
            raise RelaxInputError(
                f"{folder} is in use by another `crystalloop relax` (process {other}): wait for it, or choose another "
                "--folder and --out"
            )
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        _identify(folder, file, structure)
        yield
    finally:
        os.close(handle)


def _locked(handle: int) -> bool:
    """False where another process holds it; on a file system without locks nobody can."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        log.warning("the folder cannot be locked (%s): start one command at a time there", error.strerror or error)
    return True


def _identify(folder: Path, file: Path, structure: Structure) -> None:
    path, digest = folder / IDENTITY, digest_of(structure)
    formula = structure.composition.formula
    try:
        known = json.loads(path.read_text())
    except (OSError, ValueError):  # a new folder, or one that was never finished
        known = None
    if isinstance(known, dict):
        if known.get("digest") != digest:
            raise RelaxInputError(
                f"{folder} holds the relaxation of another crystal ({known.get('formula')} of {known.get('file')}), this "
                f"one is {formula} of {file}: choose another --folder and --out, or delete it"
            )
        return
    stranger = _formula_of_launches(folder)
    if stranger is not None and stranger != structure.composition.reduced_formula:
        raise RelaxInputError(
            f"{folder} holds launches of another crystal ({stranger}), this one is {formula} of {file}: choose another "
            "--folder and --out, or delete it"
        )
    with whole(path) as unfinished:
        unfinished.write_text(json.dumps({"file": str(file), "formula": formula, "digest": digest}))


def digest_of(structure: Structure) -> str:
    """Of lattice, sites and moments as read, to 1e-6 angstrom."""
    matrix = [[round(float(x), 6) + 0.0 for x in row] for row in structure.lattice.matrix]
    sites = [
        (kind, [round(float(x), 6) + 0.0 for x in site.frac_coords])
        for kind, site in zip(_told_apart(structure), structure, strict=True)
    ]
    return hashlib.sha256(json.dumps([matrix, sites]).encode()).hexdigest()


def _told_apart(structure: Structure) -> list[str]:
    """Elements, with their moments where the sites have any."""
    moments = kind_moments(structure)
    return [kind if not moments else f"{kind} {moments[kind]:g}" for kind in kinds(structure)]


def _formula_of_launches(folder: Path) -> str | None:
    """Of the launches of a version that wrote no identity."""
    for path in sorted(folder.glob(f"attempt-*/**/{STDOUT}")):
        found = parse_pw_output(None, path.read_text(errors="replace"), "", 0).last_structure
        if found is not None:
            return str(found.composition.reduced_formula)
    return None
