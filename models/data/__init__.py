"""Files of crystals: CIF text (cif), one crystal (one_crystal), rows (files, rows), and the training set (corpus)."""
