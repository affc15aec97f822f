"""Decides and wires: campaign files, policy, screening, the loop, Ray and the command line."""
