"""What total energies mean: elemental references, formation energies, convex hulls, whole sets of pseudopotentials checked."""
