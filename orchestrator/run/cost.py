"""What a campaign will take, by the clock and in CPU time, held against each of its budgets. Pure; good to a factor of two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from crystalloop.models.learn.cost import TrainingSize
from crystalloop.orchestrator.campaign.spec import Campaign

PREPARE_S = 2.0
"""Reading a small data file, checking pw.x and the pseudopotentials, the database; and the report at the end as much again."""
RAY_S = 15.0
"""Ray on one machine with the actors and Keras in them, on two idle cores of a 2.5 GHz Xeon."""
DRAW_S = 0.09
"""One draw at 16^3 through decode, read and the eight properties, one process (bench/results/generate_core_1.json)."""
WORKERS_S = 6.0
"""Of each round: workers that start and take their candidates, energies that are settled."""
MINUTES = 60.0


@dataclass(frozen=True)
class Cost:
    """What a campaign takes.

    Attributes:
        rounds: that its relaxations fill.
        relaxations: candidates sent to pw.x.
        trainings: of all three networks.
        seconds: by the clock, by phase, in the order in which they come.
        cpu_s: processor seconds of pw.x, elemental references included.
        first_cpu_s: of these until the first round has ended.
        candidates_cpu_s: of these for candidates, which is what `budget.cpu_hours` counts.
    """

    rounds: int
    relaxations: int
    trainings: int
    seconds: Mapping[str, float]
    cpu_s: float
    first_cpu_s: float
    candidates_cpu_s: float

    @property
    def minutes(self) -> float:
        """By the clock."""
        return sum(self.seconds.values()) / MINUTES


def campaign_cost(
    campaign: Campaign, *, each_s: float, references_s: float, crystals: int, labelled: int, warm: bool
) -> Cost:
    """Count the phases of a campaign.

    Args:
        campaign: its rounds, budgets and sizes.
        each_s: CPU seconds of one relaxation.
        references_s: CPU seconds of the elemental references together.
        crystals: that UNet and VAE are trained on.
        labelled: of these, with a formation energy before the campaign begins.
        warm: whether the networks are trained before the first round.
    """
    count, ray = campaign.dft.per_round, campaign.ray
    relaxations = min(campaign.rounds * count, campaign.budget.relaxations or campaign.rounds * count)
    rounds = ceil(relaxations / count)
    slots = max(1, min(campaign.dft.slots, count))
    trained = rounds if campaign.arms.need_networks else 0
    trainings = [labelled + count * done for done in range(0 if warm else 1, trained)]
    fit = [_training(campaign, crystals, known).seconds(warm=place > 0) for place, known in enumerate(trainings)]
    draws = len(trainings) * campaign.generate.per_round
    seconds = {
        "start and report": 2 * PREPARE_S,
        "training": sum(fit),
        "starting Ray": RAY_S if trainings else 0.0,
        "drawing candidates": draws * DRAW_S * (campaign.voxels.n / 16) ** 3 / ray.generator_actors,
        "elemental references": references_s / slots,
        "relaxations": each_s * relaxations / slots + rounds * WORKERS_S,
    }
    return Cost(
        rounds=rounds,
        relaxations=relaxations,
        trainings=len(trainings),
        seconds=seconds,
        cpu_s=references_s + each_s * relaxations,
        first_cpu_s=references_s + each_s * min(count, relaxations),
        candidates_cpu_s=each_s * relaxations,
    )


def _training(campaign: Campaign, crystals: int, labelled: int) -> TrainingSize:
    networks = campaign.networks
    return TrainingSize(
        crystals=crystals,
        labelled=labelled,
        n=campaign.voxels.n,
        preset=networks.preset,
        steps={str(name): steps for name, steps in networks.steps.items()},
        warm_share=networks.warm_share,
        workers=campaign.ray.train_workers,
    )


def short_budgets(campaign: Campaign, cost: Cost) -> list[str]:
    """A sentence for every budget that ends the campaign before its rounds are done."""
    budget, wanted = campaign.budget, campaign.rounds * campaign.dft.per_round
    found = []
    if budget.relaxations is not None and budget.relaxations < wanted:
        found.append(
            f"{campaign.rounds} rounds of {campaign.dft.per_round} want {wanted} relaxations, `budget.relaxations` is "
            f"{budget.relaxations}: round {cost.rounds} is the last"
        )
    found += batch_notes(campaign)
    if budget.cpu_hours is not None and cost.candidates_cpu_s > 3600 * budget.cpu_hours:
        found.append(
            f"the relaxations need about {cost.candidates_cpu_s / 3600:.2g} CPU-hours, `budget.cpu_hours` is "
            f"{budget.cpu_hours:g}: raise it, or lower `rounds` or `dft.per_round`"
        )
    if budget.wall_minutes is not None and cost.minutes > budget.wall_minutes:
        longest = max(cost.seconds, key=lambda name: cost.seconds[name])
        found.append(
            f"needs about {cost.minutes:.0f} minutes, `budget.wall_minutes` is {budget.wall_minutes:g}: raise it, or lower "
            f"`rounds`; the most goes to {longest} ({cost.seconds[longest] / MINUTES:.0f} minutes)"
        )
    return found


def batch_notes(campaign: Campaign) -> list[str]:
    """A budget smaller than a batch, and hits that a campaign cannot reach: no mistake, but seldom meant."""
    found, count, most = [], campaign.dft.per_round, campaign.rounds * campaign.dft.per_round
    if (budget := campaign.budget.relaxations) is not None and budget < count:
        found.append(
            f"`budget.relaxations` is {budget} and a batch (`dft.per_round`) {count}: one short batch, and nothing is learnt from "
            f"it; `dft.per_round: {max(1, budget // 3)}` gives rounds that learn from each other, or raise the budget to "
            f"{2 * count} or more"
        )
    most = min(most, budget or most)
    if (hits := campaign.stop.hits) is not None and hits > most:
        found.append(
            f"`stop.hits` is {hits}, and no more than {most} crystals are computed: it never ends the campaign; ask for fewer, or "
            "allow more `rounds`"
        )
    return found
