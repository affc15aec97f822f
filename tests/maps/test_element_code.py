"""Every element has a code of its own that can be read back from a noisy map, and close relatives have close slow waves."""

from __future__ import annotations

import numpy as np
import pytest

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.maps.element_codes import (
    CODES,
    coded_symbols,
    element_codes,
    mendeleev_numbers,
    nearest_elements,
)
from crystalloop.models.maps.voxels import UncodedElement, VoxelConfig, code_batch


def test_codes_have_length_one_and_are_far_apart():
    codes = element_codes()[1:]
    np.testing.assert_allclose(np.linalg.norm(codes, axis=1), 1.0, rtol=1e-6)
    distance = np.linalg.norm(codes[:, None] - codes[None], axis=-1) + 9.0 * np.eye(len(codes))
    assert distance.min() > 0.84
    assert not element_codes()[0].any()
    assert (len(coded_symbols()), coded_symbols()[0], coded_symbols()[-1]) == (94, "H", "Pu")


def test_the_order_is_pettifors():
    from pymatgen.core.periodic_table import Element

    assert mendeleev_numbers()[1:].tolist() == [int(Element(symbol).mendeleev_no) for symbol in coded_symbols()]


def test_a_noisy_code_names_its_element():
    rng = np.random.default_rng(0)
    noisy = element_codes()[1:] + rng.normal(0.0, 0.1, (94, CODES)).astype(np.float32)
    named, along = nearest_elements(noisy)
    assert (named == np.arange(1, 95)).mean() > 0.98
    assert along.mean() == pytest.approx(1.0, abs=0.1)
    assert nearest_elements(noisy[:1], np.array([3, 11]))[0].tolist() in ([3], [11])


def test_a_map_holds_each_atoms_code_at_its_place_across_the_faces():
    crystal = Crystal(np.diag([4.0, 5.0, 6.0]), np.array([11, 17]), np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]]))
    codes = code_batch([crystal], VoxelConfig(n=16))[0]
    np.testing.assert_allclose(codes[0, 0, 0], element_codes()[11], atol=1e-3)
    np.testing.assert_allclose(codes[8, 8, 8], element_codes()[17], atol=1e-3)
    np.testing.assert_allclose(codes[15, 0, 0], codes[1, 0, 0], atol=1e-6)


def test_an_element_beyond_plutonium_is_named():
    crystal = Crystal(np.eye(3) * 4.0, np.array([95]), np.zeros((1, 3)))
    with pytest.raises(UncodedElement, match=r"Am \(Z = 95\) is beyond plutonium"):
        code_batch([crystal], VoxelConfig(n=8))
