"""The sections of a campaign file that say how candidates are judged and chosen: hull, surrogate, acquire, arms, stop."""
