"""What the terminal shows of crystals that were relaxed alone."""
