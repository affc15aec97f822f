"""What is computed and how accurately: settings, pseudopotentials, cells, rules of elements; units and whole files."""
