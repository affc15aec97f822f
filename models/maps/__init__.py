"""Crystals to voxel maps (voxels, kernels, element_codes, channels) and maps to sites (sites_from_codes, sites_from_density)."""
