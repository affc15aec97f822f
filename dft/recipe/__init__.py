"""What is computed and how accurately: settings and presets, pseudopotentials, cells, rules of single elements."""
