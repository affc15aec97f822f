"""Small CIF files in parts: a cell, what is said of the space group, sites."""

from __future__ import annotations


def cell(a, b=None, c=None, alpha=90, beta=90, gamma=90):
    values = {"length_a": a, "length_b": b or a, "length_c": c or a, "angle_alpha": alpha, "angle_beta": beta}
    return "".join(f"_cell_{name} {value}\n" for name, value in (values | {"angle_gamma": gamma}).items())


def group(name=None, number=None, hall=None, operations=None):
    text = f"_symmetry_space_group_name_H-M '{name}'\n" if name else ""
    text += f"_symmetry_Int_Tables_number {number}\n" if number else ""
    text += f"_symmetry_space_group_name_Hall '{hall}'\n" if hall else ""
    if operations:
        text += "loop_\n_symmetry_equiv_pos_as_xyz\n" + "".join(f"'{one}'\n" for one in operations)
    return text


def sites(*rows, columns="label type_symbol fract_x fract_y fract_z"):
    return "loop_\n" + "".join(f"_atom_site_{name}\n" for name in columns.split()) + "\n".join(rows) + "\n"


def cif(*parts, formula=None, units=None, **others):
    text = "data_x\n" + (f"_chemical_formula_sum '{formula}'\n" if formula else "")
    text += f"_cell_formula_units_Z {units}\n" if units else ""
    return text + "".join(f"_{name} {value}\n" for name, value in others.items()) + "".join(parts)


SALT = sites("Na1 Na 0 0 0", "Cl1 Cl .5 .5 .5")
CESIUM = cif(group("P 1", 1), cell(4.12), sites("Cs1 Cs 0 0 0", "Cl1 Cl .5 .5 .5"))
SPINEL = sites("Mg1 Mg .125 .125 .125", "Al1 Al .5 .5 .5", "O1 O .2624 .2624 .2624")
SPINEL_AT_43M = sites("Mg1 Mg 0 0 0", "Al1 Al .625 .625 .625", "O1 O .3874 .3874 .3874")
