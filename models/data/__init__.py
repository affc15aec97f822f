"""Tables of crystals: rows (files, rows) and the training set (corpus, corpus_file). One crystal as text: formats."""
