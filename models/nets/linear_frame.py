"""The linear frame of the latent: principal components of training maps, whitened. The VAE's networks add what is not linear."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.maps.channels import CHANNELS, COORDINATE_SCALE_ANG, Floats
from crystalloop.models.maps.element_codes import CODES, element_codes, nearest_elements
from crystalloop.models.nets.blocks import Tensor
from crystalloop.models.nets.configs import FrameShape
from crystalloop.models.nets.keras_import import layers, ops

DENSITY_SHARE = 0.3
"""Weight of the compressed density beside the codes: its peaks are several units high, the codes' one."""
LATTICE_SHARE = 3.0
"""Weight of each of the six lattice numbers: 1 % of an edge counts like an atom's displacement by 0.01 of the cell."""
SPREAD = 0.25  # of log a per unit of a lattice number: cells from 3 to 12 angstrom lie within two units
SEEN_VOXELS = 512
"""Where crystals differ most: an eighth of the frame's voxels, with two thirds of what differs."""
MOST_CRYSTALS = 2000
"""Enough for 128 directions of 6,000 crystals; the decomposition grows with the cube of it."""


def lattice_numbers(maps: Tensor, shape: FrameShape) -> Tensor:
    """Edges and shears from the coordinate channels by least squares (docs/science/networks.md, row 4): [b, 1] or [b, 6].

    Logarithms of the edges over a_ang, then the elements below the diagonal over a_ang, all over SPREAD. The lattice is
    taken to be lower triangular, as that of a standard setting is.
    """
    n = shape.n
    weights = np.arange(n, dtype=np.float32) - (n - 1) / 2
    weights = weights / np.square(weights).sum() / n * COORDINATE_SCALE_ANG  # sums over n^2 lines, times n voxels
    xyz = maps[..., 1:4]
    rows = [
        ops.einsum("i,bix->bx", weights, ops.sum(xyz, axis=(2, 3))),
        ops.einsum("i,bix->bx", weights, ops.sum(xyz, axis=(1, 3))),
        ops.einsum("i,bix->bx", weights, ops.sum(xyz, axis=(1, 2))),
    ]
    edges = [ops.log(ops.maximum(ops.abs(rows[i][:, i : i + 1]), 1e-3) / shape.a_ang) / SPREAD for i in range(3)]
    if shape.cubic:
        return (edges[0] + edges[1] + edges[2]) / 3.0
    shears = [rows[i][:, j : j + 1] / (shape.a_ang * SPREAD) for i, j in ((1, 0), (2, 0), (2, 1))]
    return ops.concatenate([*edges, *shears], axis=-1)


def lattice_rows(numbers: Tensor, shape: FrameShape) -> Tensor:
    """Inverse of `lattice_numbers`: rows in angstrom, [b, 3, 3]; never degenerate, always right-handed."""
    edges = shape.a_ang * ops.exp(SPREAD * ops.clip(numbers[:, : 1 if shape.cubic else 3], -8.0, 8.0))
    diagonal = ops.expand_dims(edges, -1) * np.eye(3, dtype=np.float32)
    if shape.cubic:
        return diagonal
    below = np.zeros((3, 3, 3), np.float32)
    below[0, 1, 0] = below[1, 2, 0] = below[2, 2, 1] = 1.0
    return diagonal + shape.a_ang * SPREAD * ops.einsum("bk,kij->bij", numbers[:, 3:], below)


def flatten(maps: Tensor, shape: FrameShape) -> Tensor:
    """Maps [b, n, n, n, 12] as rows of the frame [b, size]."""
    density = maps[..., :1] * DENSITY_SHARE
    seen = ops.concatenate([density, maps[..., 4:CHANNELS]], axis=-1) if shape.codes else density
    if shape.pool > 1:
        seen = layers.AveragePooling3D(shape.pool)(seen)
    rows = ops.reshape(seen, (-1, shape.m**3 * shape.channels))
    return ops.concatenate([rows, lattice_numbers(maps, shape) * LATTICE_SHARE], axis=-1)


def unflatten(rows: Tensor, shape: FrameShape) -> tuple[Tensor, Tensor]:
    """Inverse of `flatten`: channels [b, n, n, n, 1 or 9] and lattice numbers [b, 1 or 6]."""
    m, voxels = shape.m, shape.m**3 * shape.channels
    maps = ops.reshape(rows[:, :voxels], (-1, m, m, m, shape.channels))
    scale = np.ones(shape.channels, np.float32)
    scale[0] = 1.0 / DENSITY_SHARE
    if shape.pool > 1:
        finer = _finer(m, shape.pool)
        maps = ops.einsum("xi,yj,bijkc->bxykc", finer, finer, maps)
        maps = ops.einsum("zk,bxykc->bxyzc", finer, maps)
    return maps * scale, rows[:, voxels:] / LATTICE_SHARE


class Sight:
    """A quick look at the elements that latents decode to: the frame at the voxels where crystals differ most.

    Codes there are turned to the nearest element's, since a latent lies between elements and its crystal does not, and
    told in the frame's own directions.
    """

    def __init__(self, into: Floats, out: Floats, mean: Floats, shape: FrameShape, voxels: int = SEEN_VOXELS) -> None:
        columns = np.arange(shape.m**3 * shape.channels).reshape(shape.m**3, shape.channels)[:, 1:]  # of the codes
        spread = np.square(out[:, : shape.m**3 * shape.channels]).sum(axis=0)[columns].sum(axis=1)
        most = np.sort(np.argsort(-spread, kind="stable")[:voxels])
        self._columns = columns[most].ravel()
        self._out, self._mean, self._into = out[:, self._columns], mean[self._columns], into[self._columns]

    def of_latents(self, latent: Floats) -> Floats:
        """Facts of latents [b, latent]: [b, latent]."""
        return self._told(latent @ self._out + self._mean)

    def of_rows(self, rows: Floats) -> Floats:
        """Facts of flattened maps [b, size]: [b, latent]."""
        return self._told(rows[:, self._columns])

    def _told(self, codes: Floats) -> Floats:
        turned = snapped(codes.reshape(-1, CODES)).reshape(codes.shape)
        return np.asarray((turned - self._mean) @ self._into, np.float32)


def snapped(codes: Floats, least: float = 0.3) -> Floats:
    """Codes [v, 8] turned to the nearest element's, of the same length; those shorter than `least` become zero."""
    length = np.linalg.norm(codes, axis=1)
    near = length > least
    turned = np.zeros_like(codes)
    if near.any():
        named, _ = nearest_elements(codes[near])
        turned[near] = element_codes()[named] * length[near, None]
    return turned


def _finer(m: int, pool: int) -> Floats:
    """Periodic linear interpolation from the averages of `pool` voxels to the voxels: [m * pool, m]."""
    table = np.zeros((m * pool, m), np.float32)
    for i in range(m * pool):
        place = (i - (pool - 1) / 2) / pool
        low = int(np.floor(place))
        table[i, low % m] += 1 - (place - low)
        table[i, (low + 1) % m] += place - low
    return table


def principal_frame(
    rows: Floats, latent: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]]:
    """The directions in which rows spread most, scaled so that the rows have variance one along each.

    This is the optimum of a linear VAE (Lucas et al. 2019, "Don't blame the ELBO!"), found in seconds instead of epochs.

    Args:
        rows: [c, f].
        latent: how many directions; those beyond the rows' rank are zero.

    Returns:
        into [f, latent] and out of [latent, f] the frame, mean [f], and the variance along each direction [latent].
    """
    mean = rows.mean(axis=0)
    centred = rows - mean
    values, vectors = np.linalg.eigh((centred @ centred.T).astype(np.float64))
    values, vectors = values[::-1][:latent], vectors[:, ::-1][:, :latent]
    kept = values > 1e-7 * max(float(values[0]), 1e-12)
    spread = np.sqrt(np.where(kept, values, 1.0))
    into = np.zeros((rows.shape[1], latent), np.float32)
    out = np.zeros((latent, rows.shape[1]), np.float32)
    count = len(values)
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(count)])  # eigenvectors have no sign of their own
    directions = (centred.T @ (vectors / spread * kept * signs).astype(np.float32)).T  # [latent, f], length one
    per = spread / np.sqrt(len(rows))
    out[:count] = directions * (per * kept)[:, None].astype(np.float32)
    into[:, :count] = (directions / per[:, None].astype(np.float32)).T * kept.astype(np.float32)
    variance = np.zeros(latent)
    variance[:count] = np.square(per) * kept
    return into, out, mean.astype(np.float32), variance
