"""What a campaign or a training asks of Ray, laid out over the nodes before Ray is asked: `fit_demand`. Pure, no Ray here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

ACTOR_CPUS = 0.25
"""Logical CPUs of each actor that generates or predicts: it works while the trainer does not."""
WORKER_CPUS = (2.0, 1.0, 0.5, 0.25)
"""Logical CPUs of a training worker where nobody says how many: the first of these that the nodes have room for."""


class ClusterTooSmall(Exception):
    """The nodes have no room for what is asked; the message says what to change."""

    exit_kind = "environment"


class TooFewGpus(ClusterTooSmall):
    """Workers or actors that want GPUs which Ray does not see."""


@dataclass(frozen=True)
class Node:
    """One machine of a cluster, in Ray's logical CPUs and GPUs."""

    cpus: float
    gpus: float = 0.0


@dataclass(frozen=True)
class Demand:
    """What is asked of a cluster.

    Attributes:
        train_workers: that share a training, each on one node.
        cpus_per_train_worker: of each; None for as many of WORKER_CPUS as there is room for.
        use_gpu: one GPU for each of them.
        generators, screeners: actors, ACTOR_CPUS each.
        gpus_per_generator: a share of one, or a whole number. Where it is not 0, the actors end before a training.
        keys: what the user wrote these down as, for messages.
    """

    train_workers: int
    cpus_per_train_worker: float | None = None
    use_gpu: bool = False
    generators: int = 0
    screeners: int = 0
    gpus_per_generator: float = 0.0
    keys: str = "ray."

    @property
    def actors(self) -> int:
        """How many there are at a time."""
        return self.generators + self.screeners

    def at_once(self, cpus_per_worker: float) -> tuple[float, float]:
        """(CPUs, GPUs) that are held at the same time at the most."""
        training = self.train_workers * cpus_per_worker, float(self.train_workers * self.use_gpu)
        generating = self.actors * ACTOR_CPUS, self.generators * self.gpus_per_generator
        if self.gpus_per_generator:
            return max(training[0], generating[0]), max(training[1], generating[1])
        return training[0] + generating[0], training[1]


def fit_demand(demand: Demand, nodes: Sequence[Node]) -> float:
    """CPUs for each training worker, with which all that is asked finds room on the nodes at the same time.

    Raises:
        TooFewGpus: GPUs are missing.
        ClusterTooSmall: CPUs are missing, or no single node is large enough.
    """
    _require_gpus(demand, sum(node.gpus for node in nodes))
    given = demand.cpus_per_train_worker
    choices = WORKER_CPUS if given is None else (given,)
    fitting = [cpus for cpus in choices if all(_has_room(shares, nodes) for shares in _phases(demand, cpus))]
    # Ray puts the actors where it likes, before the trainer comes: a default fits wherever they are.
    taken = 0.0 if demand.gpus_per_generator else demand.actors * ACTOR_CPUS
    left = [Node(node.cpus - taken, node.gpus) for node in nodes]
    workers = demand.train_workers
    safe = [cpus for cpus in fitting if _has_room([(float(demand.use_gpu), cpus)] * workers, left)]
    if fitting:
        return (safe or fitting[-1:])[0]
    raise ClusterTooSmall(_what_to_change(demand, nodes))


def _phases(demand: Demand, cpus_per_worker: float) -> Iterator[list[tuple[float, float]]]:
    """The shares, as (GPUs, CPUs), that are held together."""
    workers = [(float(demand.use_gpu), cpus_per_worker)] * demand.train_workers
    actors = [(demand.gpus_per_generator, ACTOR_CPUS)] * demand.generators + [(0.0, ACTOR_CPUS)] * demand.screeners
    if demand.gpus_per_generator:
        yield workers
        yield actors
    else:
        yield workers + actors


def _has_room(shares: Sequence[tuple[float, float]], nodes: Sequence[Node]) -> bool:
    """Whether the shares can be laid out, the largest first, each on the first node with room."""
    free = [[node.gpus, node.cpus] for node in nodes]
    for gpus, cpus in sorted(shares, reverse=True):
        place = next((left for left in free if left[0] >= gpus - 1e-9 and left[1] >= cpus - 1e-9), None)
        if place is None:
            return False
        place[0] -= gpus
        place[1] -= cpus
    return True


def _require_gpus(demand: Demand, gpus: float) -> None:
    keys, share = demand.keys, demand.gpus_per_generator
    if share > 1 and not share.is_integer():
        raise TooFewGpus(f"{keys}gpus_per_generator {share:g}: above 1 Ray gives whole GPUs; say {int(share)} or 0.5")
    if demand.use_gpu and gpus < demand.train_workers:
        lower = (
            "lower --workers, or leave --gpus out" if not keys else f"lower {keys}train_workers, or leave use_gpu out"
        )
        raise TooFewGpus(f"{demand.train_workers} training workers want a GPU each, Ray sees {gpus:g}; {lower}")
    if gpus < demand.generators * share:
        raise TooFewGpus(
            f"{demand.generators} generators want {share:g} GPU each ({keys}gpus_per_generator), Ray sees {gpus:g}; "
            "lower it or leave it out: generators decode on CPUs then"
        )


def _what_to_change(demand: Demand, nodes: Sequence[Node]) -> str:
    total, largest = sum(node.cpus for node in nodes), max((node.cpus for node in nodes), default=0.0)
    there = f"{total:g} CPUs on {len(nodes)} node{'s' * (len(nodes) != 1)}" + (
        f", {largest:g} on the largest" if len(nodes) > 1 else ""
    )
    keys, each = demand.keys, demand.cpus_per_train_worker
    smallest = WORKER_CPUS[-1] if each is None else each
    actors = f"{demand.generators} generators and {demand.screeners} screeners of {ACTOR_CPUS:g} CPU each"
    want = f"{demand.train_workers} training workers of {smallest:g} CPU{'s' * (smallest > 1)} each"
    if not keys:
        return f"{want}: Ray has {there}; lower --workers"
    if demand.actors * ACTOR_CPUS > total:
        return f"{actors}: Ray has {there}; lower {keys}generator_actors or {keys}screen_actors"
    change = f"lower {keys}train_workers" + (
        f", or leave {keys}cpus_per_train_worker out, which takes what there is" if each is not None else ""
    )
    return (
        f"{want}, beside {actors}: Ray has {there}; {change}. Nodes that are still joining do not count: `ray status` "
        "shows them"
    )
