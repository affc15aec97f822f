"""Trained networks measured: reconstruction, generation, properties, interpolation, in two definitions (rows.yaml)."""
