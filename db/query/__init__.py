"""The one grammar of conditions (language), what a condition becomes (to_*), what to say where none holds (seen, nearest)."""
