"""Crystals and chemistry as arrays and tables: no networks, no files. contacts, formulas, known (is it new?), symmetry."""
