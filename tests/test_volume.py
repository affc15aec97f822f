import math

import pytest

from dft.volume import next_volume_ang3


def murnaghan(volume, v0, b_kbar, b_prime):
    return b_kbar / b_prime * ((v0 / volume) ** b_prime - 1)


@pytest.mark.parametrize(
    ("name", "volume_per_atom", "b_kbar", "b_prime", "atoms"),
    [("Li", 20.3, 130, 3.4, 1), ("NaCl", 23.0, 240, 5.3, 2), ("MgO", 9.5, 1500, 4.1, 2), ("C", 5.7, 4300, 3.7, 2)],
)
@pytest.mark.parametrize("start", [0.85, 0.95, 1.04, 1.15])
def test_the_pressure_vanishes_within_five_computations(name, volume_per_atom, b_kbar, b_prime, atoms, start):
    v0 = volume_per_atom * atoms
    volume, points = v0 * start, []
    for _ in range(6):
        points.append((volume, murnaghan(volume, v0, b_kbar, b_prime)))
        if abs(points[-1][1]) < 0.5:
            break
        volume = next_volume_ang3(points, atoms)
    assert abs(points[-1][1]) < 0.5
    assert len(points) <= 5


def test_a_step_goes_where_the_pressure_pushes_and_never_far():
    for pressure in (-5000.0, -10.0, 10.0, 5000.0):
        step = math.log(next_volume_ang3([(16.0, pressure)], 2) / 16.0)
        assert step * pressure > 0
        assert abs(step) <= 0.18 + 1e-12


def test_past_the_spinodal_the_secant_is_not_trusted():
    # The pressure of a torn-apart crystal rises towards zero with its volume: shrink nevertheless.
    points = [(60.0, -30.0), (58.0, -32.0)]
    assert next_volume_ang3(points, 2) < 58.0
