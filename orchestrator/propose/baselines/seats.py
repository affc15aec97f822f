"""How many of a round's relaxations each arm gets, so that the shares hold in the long run. Pure; who is chosen: arms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from math import ceil


def seats(
    shares: Mapping[str, float], spent: Mapping[str, int], count: int, able: Collection[str] | None = None
) -> dict[str, int]:
    """Seats of a round, dealt out one by one: however rounds are cut, each arm is less than one seat from its share.

    The rule is that of the chairman assignment problem (Tijdeman, Discrete Math. 32, 323, 1980): of the k arms that are behind
    by 1/(2k - 2) or more, the one whose time runs out first. So after any number of seats no arm is further than
    1 - 1/(2k - 2) from its share of all, as long as each could fill its seats. One that could not is paid back later, but never
    gets more than one seat above its share of a round.

    Args:
        shares: of each arm, adding up to 1; an arm with 0 gets none.
        spent: seats that each arm has filled before.
        count: seats of this round.
        able: arms that can choose in this round; None for all.

    Returns:
        Seats of every arm with at least one, in the order of `shares`; `count` in all, none where no arm can choose.
    """
    arms = [name for name, share in shares.items() if share > 0 and (able is None or name in able)]
    if not arms:
        return {}
    total = sum(shares[name] for name in arms)
    had, given = Counter({name: spent.get(name, 0) for name in shares}), Counter[str]()
    for _ in range(count):
        name = _next(shares, had, [one for one in arms if given[one] <= ceil(shares[one] / total * count - 1e-9)])
        had[name] += 1
        given[name] += 1
    return {name: given[name] for name in arms if given[name]}


def _next(shares: Mapping[str, float], had: Mapping[str, int], arms: Collection[str]) -> str:
    """Who gets the seat after those that were had; ties go to the first."""
    together = sum(1 for share in shares.values() if share > 0)
    slack = 1 / (2 * together - 2) if together > 1 else 0.0
    number = sum(had.values()) + 1
    behind = {name: shares[name] * number - had[name] for name in arms}
    due = [name for name in arms if behind[name] >= slack - 1e-9]
    if not due:
        return max(arms, key=lambda name: behind[name])
    return min(due, key=lambda name: round((1 - slack - behind[name]) / shares[name], 9))


def dealt(shares: Mapping[str, float], total: int) -> dict[str, int]:
    """Seats of every arm after so many relaxations, where each can always choose."""
    return {name: 0 for name, share in shares.items() if share > 0} | seats(shares, {}, total)


def smallest_share(total: int) -> float:
    """The smallest share, in hundredths where that will do, with which an arm is sure of one of so many relaxations."""
    return ceil(100 / total) / 100 if total <= 100 else 1 / total
