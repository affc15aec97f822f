"""A corpus as one compressed array file beside the networks that were trained on it. Reading data files: corpus."""

from __future__ import annotations

from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.data.corpus import Corpus
from crystalloop.models.data.files import DataError

NAME = "crystals.npz"


def save_corpus(path: Path, corpus: Corpus) -> None:
    """Write the corpus; about 20 bytes an atom. A crash leaves the old file or none."""
    draft = path.with_name(f".{path.name}.part")
    with draft.open("wb") as file:
        np.savez_compressed(
            file,
            ids=np.array(corpus.ids, dtype=np.str_),
            formulas=np.array(corpus.formulas, dtype=np.str_),
            groups=np.array(corpus.groups, dtype=np.str_),
            split=corpus.split,
            labels=corpus.labels,
            atoms=np.array([len(crystal) for crystal in corpus.crystals]),
            lattices=np.array([crystal.lattice for crystal in corpus.crystals]),
            numbers=np.concatenate([crystal.numbers for crystal in corpus.crystals]).astype(np.uint8),
            frac_coords=np.concatenate([crystal.frac_coords for crystal in corpus.crystals]).astype(np.float32),
        )
    draft.replace(path)


def load_corpus(path: Path) -> Corpus:
    """Read what `save_corpus` wrote; coordinates to single precision.

    Raises:
        DataError: no such file, or another one.
    """
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            read = {name: arrays[name] for name in arrays.files}
        ends = np.cumsum(read["atoms"])[:-1]
        numbers, coords = np.split(read["numbers"], ends), np.split(read["frac_coords"], ends)
        return Corpus(
            ids=tuple(read["ids"].tolist()),
            formulas=tuple(read["formulas"].tolist()),
            crystals=tuple(map(Crystal, read["lattices"], numbers, coords)),
            labels=read["labels"],
            split=read["split"],
            groups=tuple(read["groups"].tolist()),
        )
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; `crystalloop train` writes it beside the networks") from error
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise DataError(f"{path} is unreadable ({error}); repeat the `crystalloop train` that made it") from error
