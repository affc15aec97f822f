"""What the reader of CIF raises, and nothing else: light, so that who names it needs no gemmi."""

from __future__ import annotations


class CifError(ValueError):
    """The text does not hold the one crystal that was asked for; the message says why, and not in which file."""
