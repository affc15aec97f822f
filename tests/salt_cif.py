"""LiF in the rock-salt structure as a CIF file, written out atom by atom."""

from __future__ import annotations

CIF = """data_salt
_cell_length_a {a}
_cell_length_b {a}
_cell_length_c {a}
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1'
_symmetry_Int_Tables_number 1
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
{rows}
"""
FCC = ("0 0 0", "0 0.5 0.5", "0.5 0 0.5", "0.5 0.5 0")
OTHERS = ("0.5 0.5 0.5", "0.5 0 0", "0 0.5 0", "0 0 0.5")
LIF = "\n".join([f"Li{i} Li {at} 1" for i, at in enumerate(FCC)] + [f"F{i} F {at} 1" for i, at in enumerate(OTHERS)])


def cif_file(folder, rows=LIF, a=4.2):
    path = folder / "salt.cif"
    path.write_text(CIF.format(a=a, rows=rows))
    return path
