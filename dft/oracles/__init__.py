"""Whoever answers what a crystal relaxes to: the contract (base), pw.x (pwx), a table of known energies (table)."""
