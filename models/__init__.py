"""Crystals to arrays and back, and the networks. No Ray, no database, no pw.x."""
