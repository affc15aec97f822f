"""Fits of the known Gaussian of every element to a density: which element sits on a site, and where. Orthogonal cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.maps.channels import Doubles
from crystalloop.models.maps.kernels import periodic_gaussians
from crystalloop.models.maps.voxels import VoxelConfig, widths_and_radii_ang

_SLOPE_STEP_ANG = 0.02  # central difference of a Gaussian at least 0.3 angstrom wide: error below 0.1 %
_CONVERGED_ANG = 1e-4
_MAX_STEP_VOXELS = 0.5  # trust region of one Gauss-Newton step


@dataclass(frozen=True, eq=False)
class DensityFit:
    """A density in an orthogonal cell, and how atoms are drawn in it.

    Attributes:
        density: e/angstrom^3, [n, n, n].
        edges_ang: cell edges, [3].
        config: widths and floors that the density was drawn with.
    """

    density: Doubles
    edges_ang: Doubles
    config: VoxelConfig

    def species_costs(
        self,
        frac_coords: Doubles,
        numbers: NDArray[np.int64],
        candidates: NDArray[np.int64],
        prior: Doubles,
        sweeps: int,
    ) -> tuple[NDArray[np.int64], Doubles]:
        """Choose each site's element by least squares, its neighbours' tails subtracted, site after site.

        Every site is offered every candidate; what is compared is prior + misfit, the misfit being the squared
        residual over the squared norm of the site's own Gaussian (0.01 for an amplitude wrong by 10 %).

        Args:
            frac_coords: sites, [a, 3].
            numbers: starting elements, each one of the candidates, [a].
            candidates: atomic numbers to choose from, ascending, [k].
            prior: added to each misfit, [a, k].
            sweeps: at most so many rounds over all sites.

        Returns:
            The chosen atomic numbers [a], and the final scores [a, k] (lower is better).
        """
        sites = np.arange(len(frac_coords))
        tables = self._tables(frac_coords[:, None], np.broadcast_to(candidates, (len(sites), len(candidates))))
        electrons = candidates.astype(np.float64)
        norms = np.square(electrons) * np.square(tables).sum(axis=-1).prod(axis=0)  # [a, k]
        onto = electrons * _contract(self.density, tables.reshape(3, norms.size, -1)).reshape(norms.shape)
        chosen = np.searchsorted(candidates, numbers)  # index into candidates, [a]
        overlaps = np.stack([_overlaps(tables, electrons, site, chosen[site]) for site in sites], axis=-1)  # [a, k, a]
        scores = np.zeros_like(norms)
        for _ in range(sweeps):
            before = chosen.copy()
            for site in sites:
                others = overlaps[site].sum(axis=-1) - overlaps[site, :, site]  # [k]
                misfit = norms[site] - 2.0 * (onto[site] - others)
                scores[site] = prior[site] + (misfit - misfit.min()) / norms[site, misfit.argmin()]
                if scores[site].argmin() != chosen[site]:
                    chosen[site] = scores[site].argmin()
                    overlaps[..., site] = _overlaps(tables, electrons, site, chosen[site])
            if (before == chosen).all():
                break
        return candidates[chosen], scores

    def refine_positions(self, frac_coords: Doubles, numbers: NDArray[np.int64], steps: int) -> Doubles:
        """Move all sites together to the least-squares optimum by Gauss-Newton; a step that does not help is not taken."""
        current = np.array(frac_coords)
        residual = self.residual(current, numbers)
        for _ in range(steps):
            step = self._gauss_newton_step(current, numbers, residual)
            if np.abs(step * self.edges_ang).max() < _CONVERGED_ANG:
                break
            moved = (current + step) % 1.0
            after = self.residual(moved, numbers)
            if np.square(after).sum() >= np.square(residual).sum():
                break
            current, residual = moved, after
        return current

    def residual(self, frac_coords: Doubles, numbers: NDArray[np.int64]) -> Doubles:
        """Return the density minus that of the atoms, [n, n, n]."""
        x, y, z = self._tables(frac_coords, numbers)
        planes = (x[:, :, None] * y[:, None, :]).reshape(len(x), -1)
        drawn = planes.T @ (z * numbers[:, None])
        left: Doubles = self.density - drawn.reshape(self.density.shape)
        return left

    def _gauss_newton_step(self, frac_coords: Doubles, numbers: NDArray[np.int64], residual: Doubles) -> Doubles:
        """Solve the normal equations for all coordinates at once: [a, 3], fractional."""
        sites = len(numbers)
        values = self._tables(frac_coords, numbers)
        shift = _SLOPE_STEP_ANG / self.edges_ang
        ahead, behind = self._tables(frac_coords + shift, numbers), self._tables(frac_coords - shift, numbers)
        slopes = (ahead - behind) / (2 * _SLOPE_STEP_ANG)
        moving = [np.stack([slopes[i] if i == along else values[i] for i in range(3)]) for along in range(3)]
        electrons = numbers.astype(np.float64)
        gradient = np.stack([electrons * _contract(residual, tables) for tables in moving])  # [3, a]
        curvature = np.array([[(one @ two.transpose(0, 2, 1)).prod(axis=0) for two in moving] for one in moving])
        curvature *= electrons[:, None] * electrons  # [3, 3, a, a]
        matrix = curvature.transpose(0, 2, 1, 3).reshape(3 * sites, 3 * sites)
        step = np.linalg.lstsq(matrix, gradient.ravel(), rcond=1e-9)[0].reshape(3, sites).T  # [a, 3], angstrom
        limit = _MAX_STEP_VOXELS * self.edges_ang / self.density.shape[0]
        bounded: Doubles = np.clip(step, -limit, limit) / self.edges_ang
        return bounded

    def _tables(self, frac_coords: Doubles, numbers: NDArray[np.int64]) -> Doubles:
        """1-D Gaussians of atoms along the three axes: [3, ..., n], for numbers [...] at frac_coords [..., 3]."""
        widths, _ = widths_and_radii_ang(numbers, float(self.edges_ang.max()), self.config)
        tables = periodic_gaussians(
            frac_coords, self.edges_ang, widths[..., None], self.density.shape[0], self.config.tail
        )
        return np.moveaxis(tables, -2, 0).astype(np.float64)


def _overlaps(tables: Doubles, electrons: Doubles, site: np.intp, kind: np.intp) -> Doubles:
    """Scalar product of every candidate at every site with one candidate at one site: [a, k]."""
    one = tables[:, site, kind]  # [3, n]
    product: Doubles = electrons[kind] * electrons * (tables @ one[:, None, :, None])[..., 0].prod(axis=0)
    return product


def _contract(field: Doubles, tables: Doubles) -> Doubles:
    """Sum of field times the product of three tables, for each of m triples: field [n, n, n], tables [3, m, n] -> [m]."""
    n = field.shape[0]
    x, y, z = tables
    planes = (x @ field.reshape(n, n * n)).reshape(len(x), n, n)
    lines = np.matmul(y[:, None, :], planes)[:, 0]  # [m, n]
    total: Doubles = (lines * z).sum(axis=-1)
    return total
