"""relax(): preflight, rungs, attempts and their launches, the search along the volume, the outcome and its cost."""
