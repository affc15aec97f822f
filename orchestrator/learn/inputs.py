"""What `crystalloop train` checks before the first step: sizes, cells, classes, labels, what lies in --out. No training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.properties import PROPERTIES
from crystalloop.models.data.corpus import BadRows, Cell, Corpus, read_corpus
from crystalloop.models.learn.job import NETWORKS, NetworkName, TrainJob, TrainResources
from crystalloop.models.maps.voxels import VoxelConfig
from crystalloop.models.nets.checkpoint import Card, read_card
from crystalloop.models.nets.configs import FROM_DATA, CGCNNConfig, UNetConfig, VAEConfig

Preset = Literal["compact", "paper"]
GRIDS = range(4, 129)


class TrainInputError(Exception):
    """Data, sizes or an output folder that a training cannot use; the message has the value, the bound, the next move."""

    exit_kind = "usage"


@dataclass(frozen=True)
class TrainRequest:
    """What the user asked for.

    Attributes:
        data: files of crystals for UNet and VAE; their labelled ones train the CGCNN too.
        folder: gets unet, vae, cgcnn, crystals.npz and corpus.json.
        properties: files of labelled crystals in any cell, for the CGCNN.
        preset: sizes of the networks; "paper" takes the paper's batches, rates and epochs too.
        networks: which to train.
        n: voxels per cell edge.
        lattice: cells that UNet and VAE are trained on.
        epochs: network -> times that each crystal is seen; the preset's where not named.
        seed: of weights, order and --limit.
        limit: most crystals of the training part, over all classes.
        bad_rows: stop at an unusable row or label, or skip it.
        units: label -> its unit in all files, where that is not the label's own.
        fresh: replace what lies in the folder.
        overrides: network -> fields of its configuration that differ from the preset.
        resources: what Ray gives to it.
    """

    data: tuple[Path, ...]
    folder: Path
    properties: tuple[Path, ...] = ()
    preset: Preset = "compact"
    networks: tuple[NetworkName, ...] = NETWORKS
    n: int = 16
    lattice: Cell = "cubic"
    epochs: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0
    limit: int | None = None
    bad_rows: BadRows = "stop"
    units: Mapping[str, str] = field(default_factory=dict)
    fresh: bool = False
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    resources: TrainResources = field(default_factory=TrainResources)

    @property
    def draws_maps(self) -> bool:
        """Whether UNet or VAE are among the networks."""
        return bool({"unet", "vae"} & set(self.networks))


@dataclass(frozen=True)
class Inputs:
    """The crystals of a training, all parts of the split.

    Attributes:
        maps: for UNet and VAE; None when neither is trained.
        graphs: with at least one label, for the CGCNN; None when it is not trained.
    """

    maps: Corpus | None
    graphs: Corpus | None

    @property
    def left_out(self) -> tuple[str, ...]:
        """A sentence for everything in the files that is not used."""
        both = [*(self.maps.left_out if self.maps else ()), *(self.graphs.left_out if self.graphs else ())]
        return tuple(dict.fromkeys(both))


def parse_epochs(text: str) -> dict[str, float]:
    """Epochs of each network from `20` (all of them) or `unet=20,vae=60`.

    Raises:
        TrainInputError: another form, an unknown network, or a number that is not positive.
    """
    if not text:
        return {}
    pairs = [part.strip().partition("=") for part in text.split(",")]
    if len(pairs) == 1 and not pairs[0][1]:
        pairs = [(name, "=", pairs[0][0]) for name in NETWORKS]
    epochs: dict[str, float] = {}
    for name, _, number in pairs:
        try:
            epochs[name] = float(number)
        except ValueError:
            epochs[name] = 0.0
        if name not in NETWORKS or not 0 < epochs[name] < float("inf"):
            raise TrainInputError(
                f"--epochs {text}: {name!r} = {number!r}; write a positive number, or unet=20,vae=60,cgcnn=40"
            )
    return epochs


def check_sizes(request: TrainRequest) -> None:
    """Refuse a grid that the networks cannot fold, and a VAE without a UNet.

    Raises:
        TrainInputError: with the grids that work.
    """
    if not request.draws_maps:
        return
    problem = _unfit(request, request.n)
    if problem:
        fits = [n for n in GRIDS if _unfit(request, n) is None]
        near = sorted(sorted(fits, key=lambda n: abs(n - request.n))[:3])
        raise TrainInputError(f"--n {request.n} with --preset {request.preset}: {problem}; try --n {_either(near)}")
    if "vae" in request.networks and "unet" not in request.networks and not (request.folder / "unet").exists():
        raise TrainInputError(
            f"the VAE is trained against a UNet, and {request.folder / 'unet'} does not exist; train it first "
            "(--only unet), or leave --only out"
        )


def read_inputs(request: TrainRequest) -> Inputs:
    """Read and check all crystals.

    Raises:
        TrainInputError: other cells than --lattice, an empty class, nothing to train on.
        DataError: see `read_corpus`.
    """
    if not request.data and (request.draws_maps or not request.properties):
        raise TrainInputError("no crystals to train on; name a file or folder with --data")
    data = read_corpus(request.data, bad_rows=request.bad_rows, units=request.units) if request.data else None
    maps = _for_maps(data, request) if data is not None and request.draws_maps else None
    if "cgcnn" not in request.networks:
        return Inputs(maps, None)
    graphs = data
    if request.properties:
        graphs = read_corpus(request.properties, bad_rows=request.bad_rows, units=request.units)
        graphs = graphs.joined(data) if data is not None else graphs
    return Inputs(maps, _with_labels(graphs) if graphs is not None else None)


def training_part(corpus: Corpus, limit: int | None, seed: int) -> Corpus:
    """The train part; with a limit, a sample that has every class in it, in proportion."""
    part = corpus.part("train")
    if limit is None or limit >= len(part):
        return part
    return part.take(np.sort(_by_class(part.groups, np.random.default_rng([seed, 23]))[:limit]))


def check_folder(request: TrainRequest, jobs: Mapping[NetworkName, TrainJob]) -> tuple[NetworkName, ...]:
    """Networks of these jobs that are finished in the output folder.

    Raises:
        TrainInputError: a network of another architecture, grid, seed, length or training set lies there.
        CheckpointError: it is damaged.
    """
    finished: list[NetworkName] = []
    for network, job in jobs.items():
        place = job.folder / network
        if request.fresh or not place.exists():
            continue
        card = read_card(place)
        difference = _difference(request, network, job, card)
        if difference:
            raise TrainInputError(
                f"{place} holds a network with {difference}; repeat the command that made it, choose another --out, or "
                "replace it with --fresh"
            )
        finished.append(network)
    return tuple(finished)


def _difference(request: TrainRequest, network: NetworkName, job: TrainJob, card: Card) -> str:
    """How a checkpoint differs from what is asked for; "" where it does not."""
    wanted = _config(request, network, request.n)
    asked = {f.name: getattr(wanted, f.name) for f in fields(wanted) if f.name not in FROM_DATA}
    found = {name: tuple(value) if isinstance(value, list) else value for name, value in card.config.items()}
    for name, value in asked.items():
        if name not in found or found[name] != value:
            return f"{name} {found.get(name, '(none)')}, and this asks for {value}"
    notes = {"seed": job.seed, "steps": job.steps_of(network, warm=False), "preset": job.preset}
    for name, value in notes.items():
        if card.notes.get(name) != value:
            return f"{name} {card.notes.get(name)}, and this asks for {value}"
    if card.data_digest != job.data_digest:
        return f"other training crystals (digest {card.data_digest[:12]}, these have {job.data_digest[:12]})"
    return ""


def _config(request: TrainRequest, network: NetworkName, n: int) -> Any:  # noqa: ANN401
    """The configuration that a network will have, fields that the data decide aside.

    Raises:
        ValueError: it is none.
        TypeError: an override names no field.
    """
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in request.overrides.get(network, {}).items()}
    if network == "cgcnn":
        made: Any = CGCNNConfig.preset(request.preset)
    else:
        made = (UNetConfig if network == "unet" else VAEConfig).preset(request.preset, n)
    return type(made)(**({f.name: getattr(made, f.name) for f in fields(made)} | given))


def _unfit(request: TrainRequest, n: int) -> str | None:
    """Why a grid cannot be used; None where it can."""
    try:
        VoxelConfig(n=n)
        for network in request.networks:
            _config(request, network, n)
    except ValueError as error:
        return str(error)
    return None


def _for_maps(data: Corpus, request: TrainRequest) -> Corpus:
    fitting, refused = data.with_cell(request.lattice)
    if refused and (request.bad_rows == "stop" or not len(fitting)):
        raise TrainInputError(
            f"{refused[0]}; write {request.lattice} conventional cells (pymatgen: SpacegroupAnalyzer."
            "get_conventional_standard_structure), leave the others out with --bad-rows skip, or train the CGCNN on them "
            "with --properties"
        )
    counts = Counter(fitting.part("train").groups)
    for group in sorted(set(fitting.groups) - {""} - set(counts)):
        parts = Counter(str(part) for part, g in zip(fitting.split, fitting.groups, strict=True) if g == group)
        raise TrainInputError(
            f"class {group} has {parts.total()} crystals and none of them in train (val {parts['val']}, test "
            f"{parts['test']}); add crystals of it, remove it from --data, or change the rows' `split`"
        )
    if not counts:
        raise TrainInputError(f"none of {len(fitting):,} crystals is in train; change the rows' `split`")
    left_out = (*fitting.left_out, *(f"{sentence}: left out" for sentence in refused))
    return Corpus(**({f.name: getattr(fitting, f.name) for f in fields(fitting)} | {"left_out": left_out}))


def _with_labels(corpus: Corpus) -> Corpus:
    known = np.asarray(np.isfinite(corpus.labels).any(axis=1), dtype=np.bool_)
    labelled = corpus.take(known)
    if not corpus.counts()["train"]:
        raise TrainInputError(
            f"none of {len(corpus):,} crystals is in train ({corpus.counts()}); add some, or change `split`"
        )
    if not labelled.counts()["train"]:
        raise TrainInputError(
            f"none of {corpus.counts()['train']:,} training crystals has a label for the CGCNN ({', '.join(PROPERTIES)}); "
            "name labelled files with --properties, or train the others with --only unet --only vae"
        )
    return labelled


def _by_class(groups: tuple[str, ...], rng: np.random.Generator) -> NDArray[np.intp]:
    """All indices in an order whose every beginning has each class in its share, and each class early."""
    order = rng.permutation(len(groups))
    sizes, seen = Counter(groups), Counter[str]()
    places = np.zeros(len(groups))
    for index in order:
        group = groups[index]
        places[index] = seen[group] / sizes[group]
        seen[group] += 1
    return order[np.argsort(places[order], kind="stable")]


def _either(values: list[int]) -> str:
    return " or ".join(map(str, values)) if values else "another one"
