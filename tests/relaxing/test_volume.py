import math

import numpy as np
import pytest

from crystalloop.dft.relax.pressure_search import next_volume_ang3, through_the_noise


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


def noisy(v0, noise_kbar, seed):
    """Volumes within 0.5 % of v0, and two far from it, of a metal of 170 GPa whose pressure jumps."""
    rng = np.random.default_rng(seed)
    volumes = v0 * np.array([0.96, 1.045, 0.997, 1.002, 0.999, 1.004, 1.0])
    return [(v, murnaghan(v, v0, 1700, 4.3) + rng.normal(0, noise_kbar)) for v in volumes]


@pytest.mark.parametrize("seed", range(5))
def test_many_pressures_that_jump_give_the_volume_with_its_error(seed):
    settled = through_the_noise(noisy(24.0, 3.0, seed))
    assert abs(settled.volume_ang3 / 24.0 - 1) < 4 * settled.error
    assert 0 < settled.error < 2e-3
    assert 0.5 < settled.noise_kbar < 8.0


def test_few_volumes_or_a_pressure_that_rises_settle_nothing():
    assert through_the_noise([]) is None
    assert through_the_noise(noisy(24.0, 3.0, 0)[:5]) is None
    assert through_the_noise([(v, -p) for v, p in noisy(24.0, 0.1, 0)]) is None
