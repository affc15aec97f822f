"""Factors between the units of pw.x and eV, angstrom, kbar and GPa: CODATA 2018. Nothing else."""

RYDBERG_EV = 13.605693122994
BOHR_ANG = 0.529177210903
KBAR_PER_EV_ANG3 = 1602.176634
GPA_PER_EV_ANG3 = 160.2176634
