"""Trained networks on disk: configuration, weights, their digest and their data's, together or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

if TYPE_CHECKING:  # cards are read by whoever describes work; the networks bring Keras themselves
    from crystalloop.models.nets.keras_import import keras

FORMAT = 1
CARD = "checkpoint.json"


class CheckpointError(Exception):
    """A checkpoint that is missing, damaged, or of another network than asked for."""

    exit_kind = "failed"


class Network(Protocol):
    """What UNet, DensityVAE and CGCNN have in common."""

    kind: ClassVar[str]
    config_type: ClassVar[type[Any]]
    config: Any

    def __init__(self, config: Any) -> None: ...  # noqa: ANN401

    @property
    def networks(self) -> dict[str, keras.Model]:
        """The parts whose weights make a checkpoint."""


N = TypeVar("N", bound=Network)


@dataclass(frozen=True)
class Card:
    """What a checkpoint says of itself.

    Attributes:
        kind: unet, vae or cgcnn.
        config: fields of the network's configuration.
        sha256: weights file -> digest of the file.
        digest: digest of all weights' values. Unlike the files', it does not depend on names that Keras gives to layers,
            which count up with every network built in a process.
        data_digest: digest of what it was trained on.
        metrics: measured at the end of training.
        samples: crystals in the training set.
        train_s: seconds that training took.
        notes: how it was trained: steps, seed, parent.
    """

    kind: str
    config: dict[str, Any]
    sha256: dict[str, str]
    digest: str
    data_digest: str
    metrics: dict[str, float]
    samples: int
    train_s: float
    notes: dict[str, Any]
    format: int = FORMAT


def save(
    folder: Path,
    network: Network,
    *,
    data_digest: str,
    metrics: Mapping[str, float] | None = None,
    samples: int = 0,
    train_s: float = 0.0,
    notes: Mapping[str, Any] | None = None,
) -> Card:
    """Write a checkpoint; a crash at any point leaves the old one or none, never a mixture.

    Args:
        folder: becomes the checkpoint; an existing one is replaced.
        network: what to save.
        data_digest: digest of the training data.
        metrics: see `Card`.
        samples: see `Card`.
        train_s: see `Card`.
        notes: see `Card`.

    Returns:
        What was written of it.

    Raises:
        CheckpointError: the folder cannot be written.
    """
    draft: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        for name, model in network.networks.items():
            model.save_weights(draft / f"{name}.weights.h5")
        digests = {path.name: _sha256(path) for path in sorted(draft.glob("*.weights.h5"))}
        card = Card(
            network.kind,
            asdict(network.config),
            digests,
            weights_digest(network),
            data_digest,
            {name: float(value) for name, value in (metrics or {}).items()},
            samples,
            train_s,
            dict(notes or {}),
        )
        (draft / CARD).write_text(json.dumps(asdict(card), indent=1, sort_keys=True), encoding="utf-8")
        _sync(draft)
        _replace(draft, folder)
    except OSError as error:
        raise CheckpointError(
            f"cannot write checkpoint {folder}: {error}; free disk space or choose another folder"
        ) from error
    finally:
        if draft is not None:
            shutil.rmtree(draft, ignore_errors=True)
    return card


def weights_digest(network: Network) -> str:
    """Digest of the values of all weights, in the networks' order."""
    found = hashlib.sha256()
    for name, model in sorted(network.networks.items()):
        for array in model.get_weights():
            found.update(f"{name} {array.shape} {array.dtype.str}".encode())
            found.update(array.tobytes())
    return found.hexdigest()


def read_card(folder: Path) -> Card:
    """What a checkpoint says of itself, without loading the weights.

    Raises:
        CheckpointError: no checkpoint there, an unreadable one, or one of a newer format.
    """
    path = folder / CARD
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"no checkpoint in {folder} ({CARD} is missing); train again or restore it") from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} is unreadable ({error}); restore the folder or train again") from error
    known = {field.name for field in fields(Card)}
    if not isinstance(content, dict) or set(content) != known:
        raise CheckpointError(f"{path} does not have the fields {sorted(known)}; restore the folder or train again")
    if content["format"] != FORMAT:
        raise CheckpointError(
            f"{path} has format {content['format']}, this version reads {FORMAT}; update or train again"
        )
    return Card(**content)


def load(folder: Path, network_type: type[N], *, n: int | None = None) -> N:
    """Load a network with its configuration, after checking every digest.

    Args:
        folder: as written by `save`.
        network_type: UNet, DensityVAE or CGCNN.
        n: voxels per edge that the maps have; another grid than the checkpoint's is an error.

    Raises:
        CheckpointError: missing or damaged files, another network, another grid, weights that do not fit.
    """
    card = read_card(folder)
    if card.kind != network_type.kind:
        raise CheckpointError(
            f"{folder} holds a {card.kind}, a {network_type.kind} was asked for; name the other folder"
        )
    config = _config(folder, card, network_type.config_type)
    if n is not None and config.n != n:
        raise CheckpointError(
            f"{folder} was trained on {config.n}^3 voxels, the maps have {n}^3; set voxels.n to {config.n} or train again"
        )
    for name, digest in card.sha256.items():
        _check_file(folder / name, digest)
    network = network_type(config)
    _load_weights(folder, network, card)
    return network


def _config(folder: Path, card: Card, config_type: type[Any]) -> Any:  # noqa: ANN401
    """The configuration, lists as tuples again; other fields than this version's are an error."""
    known = {field.name for field in fields(config_type)}
    if set(card.config) != known:
        odd = sorted(known ^ set(card.config))
        raise CheckpointError(
            f"{folder}: the {card.kind}'s configuration differs in {odd}; train again with this version"
        )
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in card.config.items()}
    try:
        return config_type(**values)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{folder}: the {card.kind}'s configuration is invalid ({error}); train again") from error


def _load_weights(folder: Path, network: Network, card: Card) -> None:
    expected = {f"{name}.weights.h5" for name in network.networks}
    if set(card.sha256) != expected:
        raise CheckpointError(
            f"{folder} lists {sorted(card.sha256)}, a {card.kind} has {sorted(expected)}; train again"
        )
    for name, model in network.networks.items():
        try:
            model.load_weights(folder / f"{name}.weights.h5")
        except (ValueError, KeyError, OSError) as error:
            reason = str(error).partition("\n")[0]  # Keras goes on with the weights' values, pages of them
            raise CheckpointError(
                f"{folder}/{name}.weights.h5 does not fit the {card.kind} that {CARD} describes ({reason}); train again"
            ) from error
    # Keras warns and goes on where a part of a network is not in the file.
    if weights_digest(network) != card.digest:
        raise CheckpointError(f"{folder}: the weights are not those that {CARD} describes; restore it or train again")


def _check_file(path: Path, digest: str) -> None:
    if not path.is_file():
        raise CheckpointError(f"{path} is missing though {CARD} lists it; restore the folder or train again")
    found = _sha256(path)
    if found != digest:
        raise CheckpointError(
            f"{path} is damaged: sha256 {found[:12]}..., {CARD} says {digest[:12]}...; restore the folder or train again"
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(folder: Path) -> None:
    """Force files and folder to disk, so that the rename below cannot be seen before them."""
    for path in [*folder.iterdir(), folder]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _replace(draft: Path, folder: Path) -> None:
    """Rename the draft to the folder; an old checkpoint is moved aside first, and deleted last."""
    old = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent))
    try:
        if folder.exists():
            folder.rename(old / folder.name)
        draft.rename(folder)
    finally:
        shutil.rmtree(old, ignore_errors=True)
