"""The work of `crystalloop train`: inputs to jobs, jobs to networks, and corpus.json, the record of it all."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from crystalloop.models.crystals.properties import PROPERTIES
from crystalloop.models.data.corpus import Corpus
from crystalloop.models.data.corpus_file import NAME, save_corpus
from crystalloop.models.judge.glance import glance
from crystalloop.models.learn.checkpoints import fitted
from crystalloop.models.learn.engine import read_progress
from crystalloop.models.learn.job import NETWORK_OF, NETWORKS, FittedNetwork, NetworkName, TrainJob
from crystalloop.models.maps.voxels import VoxelConfig
from crystalloop.orchestrator.cluster.session import ray_session
from crystalloop.orchestrator.learn.inputs import (
    Inputs,
    TrainRequest,
    check_folder,
    check_sizes,
    read_inputs,
    training_part,
)
from crystalloop.orchestrator.learn.ray_fit import fit_networks

RECORD = "corpus.json"
PROGRESS = "progress.jsonl"
Jobs = dict[NetworkName, TrainJob]
TrainRecord = dict[str, Any]


def train_networks(request: TrainRequest, command: str, tell: Callable[[str], None]) -> TrainRecord:
    """Train what is asked for and not yet finished; the record that is also written to corpus.json.

    A network is saved when it is done, so that neither Ctrl-C nor an error in a later one loses it; the same command
    goes on with the rest.

    Args:
        request: what to train on what.
        command: as typed, for the record.
        tell: hears a sentence now and then.

    Raises:
        TrainInputError, DataError: something to mend before any step is taken.
        TrainError: a training failed; finished networks are kept.
    """
    check_sizes(request)
    tell("reading crystals")
    inputs = read_inputs(request)
    for sentence in inputs.left_out:
        tell(sentence)
    jobs = make_jobs(request, inputs)
    finished = check_folder(request, jobs)
    record = _opening(request, inputs, jobs, command)
    _prepare_folder(request, inputs, finished)
    for network in finished:
        tell(f"{network} is finished already and kept")
    waiting = [network for network in NETWORKS if network in jobs and network not in finished]
    if waiting:
        where = " with jax in this process" if request.resources.backend == "jax" else ""
        tell(f"training {', '.join(waiting)}{where}")
        with ray_session(request.resources):
            for group in _groups(waiting, jobs):
                fit_networks(jobs[group[0]], request.resources, group)
    return _close(request, inputs, jobs, record, finished)


def make_jobs(request: TrainRequest, inputs: Inputs) -> Jobs:
    """The training of each network; UNet and VAE share one job, so that one Ray Train run does both."""
    jobs: Jobs = {}
    for corpus, networks in ((inputs.maps, ("unet", "vae")), (inputs.graphs, ("cgcnn",))):
        asked: list[NetworkName] = [name for name in NETWORKS if name in networks and name in request.networks]
        if corpus is None or not asked:
            continue
        part = training_part(corpus, request.limit, request.seed)
        job = _job(request, part, asked)
        if "cgcnn" in asked:  # whose intervals are calibrated on crystals that it was not trained on
            validation = corpus.part("val")
            job = replace(job, validation=validation.crystals, validation_labels=validation.labels)
        jobs |= dict.fromkeys(asked, job)
    return jobs


def _job(request: TrainRequest, part: Corpus, networks: list[NetworkName]) -> TrainJob:
    return TrainJob.by_epochs(
        request.epochs,
        networks,
        preset=request.preset,
        folder=request.folder.resolve(),
        crystals=part.crystals,
        labels=part.labels,
        data_digest=part.digest,
        voxels=VoxelConfig(n=request.n),
        overrides=request.overrides,
        seed=request.seed,
        progress=(request.folder / PROGRESS).resolve(),
    )


def _groups(waiting: list[NetworkName], jobs: Jobs) -> list[tuple[NetworkName, ...]]:
    """Networks of one job together, in order."""
    groups: dict[int, list[NetworkName]] = {}
    for network in waiting:
        groups.setdefault(id(jobs[network]), []).append(network)
    return [tuple(group) for group in groups.values()]


def _prepare_folder(request: TrainRequest, inputs: Inputs, finished: tuple[NetworkName, ...]) -> None:
    """Make the folder; take away what will be replaced, but keep the progress of finished networks."""
    request.folder.mkdir(parents=True, exist_ok=True)
    for network in request.networks:
        if request.fresh:
            shutil.rmtree(request.folder / network, ignore_errors=True)
    progress = request.folder / PROGRESS
    again = set(request.networks) - set(finished)
    kept = [line for line in read_progress(progress) if NETWORK_OF.get(line["network"], line["network"]) not in again]
    progress.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
    if inputs.maps is not None:  # what is new, and bases to generate from: `crystalloop generate` asks for it
        save_corpus(request.folder / NAME, training_part(inputs.maps, request.limit, request.seed))


def _opening(request: TrainRequest, inputs: Inputs, jobs: Jobs, command: str) -> TrainRecord:
    """The record before training."""
    corpora = {"maps": (inputs.maps, "vae"), "properties": (inputs.graphs, "cgcnn")}
    return {
        "schema_version": 1,
        "command": command,
        "preset": request.preset,
        "n": request.n,
        "lattice": request.lattice,
        "backend": request.resources.backend,
        "seed": request.seed,
        "limit": request.limit,
        "units": dict(request.units),
        "files": [
            {"path": str(path), "role": role, "sha256": _sha256(path)}
            for role, paths in (("data", request.data), ("properties", request.properties))
            for path in paths
        ],
        "left_out": list(inputs.left_out),
        **{name: _counts(corpus) for name, (corpus, _) in corpora.items() if corpus is not None},
        "trained_on": {network: len(job.crystals) for network, job in jobs.items()},
    }


def _counts(corpus: Corpus) -> TrainRecord:
    train = corpus.part("train")
    labels = {name: int(np.isfinite(train.labels[:, i]).sum()) for i, name in enumerate(PROPERTIES)}
    return {
        "digest": corpus.digest,
        "crystals": corpus.counts(),
        "labels_in_train": {name: count for name, count in labels.items() if count},
    }


def _close(
    request: TrainRequest, inputs: Inputs, jobs: Jobs, record: TrainRecord, finished: tuple[NetworkName, ...]
) -> TrainRecord:
    """Write the record, with the networks of earlier commands that lie in the folder."""
    path = request.folder / RECORD
    before: TrainRecord = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    earlier = before.get("networks", {})
    lines = read_progress(request.folder / PROGRESS)
    rows: TrainRecord = {}
    for network, job in jobs.items():
        corpus = inputs.graphs if network == "cgcnn" else inputs.maps
        if corpus is None:
            continue
        validation = glance(request.folder, network, corpus.part("val"), VoxelConfig(n=request.n))
        rows[network] = {
            "kept": network in finished,
            "steps": job.steps_of(network, warm=False),
            **_costs(fitted(request.folder / network), [line for line in lines if line["network"] == network]),
            "validation": validation,
        }
    record["networks"] = {name: rows.get(name, earlier.get(name)) for name in NETWORKS if name in {*rows, *earlier}}
    for name in ("maps", "properties"):
        if name in before:
            record.setdefault(name, before[name])
    record["trained_on"] = before.get("trained_on", {}) | record["trained_on"]
    files = {(file["path"], file["role"]): file for file in [*before.get("files", []), *record["files"]]}
    record["files"] = list(files.values())
    draft = path.with_name(f".{path.name}.part")
    draft.write_text(json.dumps(record, indent=1), encoding="utf-8")
    draft.replace(path)
    return record


def _costs(network: FittedNetwork, lines: list[dict[str, Any]]) -> TrainRecord:
    ends = [line for line in lines if line["step"] == line["steps"]]  # one for each stage of the training
    return {
        "crystals": network.samples,
        "sha256": network.sha256,
        "wall_s": round(network.train_s, 2),
        "cpu_s": round(sum(line.get("cpu_s", 0.0) for line in ends), 2),
        "peak_memory_mb": max((line.get("memory_mb", 0) for line in ends), default=0),
        "metrics": network.metrics,
    }


def _sha256(path: Path) -> str:
    """Of a file, or of the names and contents of a folder's files."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    found = hashlib.sha256()
    for inner in sorted(path.glob("*")):
        if inner.is_file():
            found.update(inner.name.encode() + inner.read_bytes())
    return found.hexdigest()
