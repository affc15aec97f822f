"""Which latents to decode: random, around, between, conditioned on a target; what is wanted and what a draw carries."""
