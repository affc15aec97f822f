"""When something costly is found again as labels come in: not in every round, but whenever they have grown by a tenth."""

from __future__ import annotations

from math import ceil, log

FIRST = 12
FACTOR = 1.1


def settled(labels: int) -> int:
    """The labels that were there when it was last found again: the largest of 12, 14, 15, ... that is not above.

    Fewer than the first count as they are. It depends on the number alone, so that a campaign that is resumed finds the same.
    """
    if labels <= FIRST:
        return labels
    steps = int(log(labels / FIRST) / log(FACTOR) + 1e-9)
    return min(labels, ceil(FIRST * FACTOR**steps - 1e-9))
