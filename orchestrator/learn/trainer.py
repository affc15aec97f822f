"""The loop's trainer: records become a TrainJob, its outcome becomes records. Fitting itself is in models/learn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from crystalloop.db.ledger.campaigns import ModelVersion, NetworkRecord
from crystalloop.db.ledger.records import Candidate
from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.properties import E_F
from crystalloop.models.crystals.structures import conventional
from crystalloop.models.data.corpus import Corpus
from crystalloop.models.learn.job import FittedNetwork, TrainJob, TrainOutcome, TrainResources
from crystalloop.models.maps.voxels import VoxelConfig
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.learn.training_set import Sources
from crystalloop.orchestrator.loop.contracts import Trained
from crystalloop.orchestrator.loop.events import EventListener, Note, Training

Fit = Callable[[TrainJob, TrainResources], TrainOutcome]


class NetworkTrainer:
    """Fits the networks of one campaign, each version in a folder of its own.

    Args:
        campaign: sizes, steps, resources, seed.
        folder: gets one folder per model version.
        fit: orchestrator.learn.ray_fit.fit_networks.
        before: makes sure that Ray runs; CPUs for each training worker where the campaign does not say.
        sources: what is known besides the campaign's own calculations.
        tell: hears that a training begins.
    """

    def __init__(
        self,
        campaign: Campaign,
        folder: Path,
        fit: Fit,
        before: Callable[[], float],
        sources: Sources,
        tell: EventListener,
    ) -> None:
        self._campaign, self._folder, self._fit, self._before = campaign, folder, fit, before
        self._sources, self._tell = sources, tell

    def train(self, version_id: str, round_: int, relaxed: Sequence[Candidate], parent: ModelVersion | None) -> Trained:
        """Fit all three networks on what is known; see loop.contracts.Trainer."""
        training, trained_on = self._sources.training_set(relaxed)
        labelled = len(training.values(E_F))
        unlabelled = len(training) - labelled
        self._tell(Training(version_id, labelled, unlabelled, self._progress_file(version_id)))
        if told := self._sources.agreement(relaxed):
            self._tell(Note(told))
        outcome = self._fitted(version_id, round_, training, parent)
        networks = {name: _record(network, version_id) for name, network in outcome.networks.items()}
        return Trained(networks, outcome.step_s, trained_on, labelled, unlabelled, training.digest)

    def _fitted(self, version_id: str, round_: int, training: Corpus, parent: ModelVersion | None) -> TrainOutcome:
        cpus, campaign = self._before(), self._campaign
        cells = [Crystal.from_structure(conventional(crystal.to_structure())) for crystal in training.crystals]
        cubic = np.array([cell.is_cubic() for cell in cells], dtype=np.bool_)  # the maps of this version hold no others
        job = TrainJob(
            folder=(self._folder / version_id).resolve(),
            crystals=tuple(cells[i] for i in np.flatnonzero(cubic)),
            labels=training.labels[cubic],
            data_digest=training.digest,
            voxels=VoxelConfig(n=campaign.voxels.n, width_scale=campaign.voxels.width_scale),
            preset=campaign.networks.preset,
            overrides=_overrides(campaign),
            steps={str(name): count for name, count in campaign.networks.steps.items()},
            parent=(self._folder / parent.id).resolve() if parent else None,
            warm_share=campaign.networks.warm_share,
            seed=campaign.seed * 1009 + round_,
            progress=self._progress_file(version_id),
        )
        resources = TrainResources(
            num_workers=campaign.ray.train_workers,
            cpus_per_worker=campaign.ray.cpus_per_train_worker or cpus,
            use_gpu=campaign.ray.use_gpu,
        )
        return self._fit(job, resources)

    def _progress_file(self, version_id: str) -> Path:
        """Where the training of a version writes how far it is."""
        return (self._folder / f"{version_id}.progress.jsonl").resolve()


def _record(network: FittedNetwork, version_id: str) -> NetworkRecord:
    """With the folder below that of the models."""
    return NetworkRecord(
        folder=f"{version_id}/{network.folder.name}",
        sha256=network.sha256,
        metrics=network.metrics,
        samples=network.samples,
        train_s=network.train_s,
    )


def _overrides(campaign: Campaign) -> Mapping[str, Mapping[str, object]]:
    networks = campaign.networks
    return {"unet": networks.unet, "vae": networks.vae, "cgcnn": networks.cgcnn}
