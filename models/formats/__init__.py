"""One crystal as text -> a structure, one format a file (cif, ...); the file that somebody hands in (one_crystal). No tables."""
