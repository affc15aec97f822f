"""Files of crystals: one crystal (one_crystal), rows of many (files, rows), the training set that they make (corpus)."""
