"""The steps of cif, a question a file: syntax (blocks), space group (symbols, symmetry), atoms (sites, places), claims."""
