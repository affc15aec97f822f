"""Training batches drawn on the accelerator from atoms, as those of `models.learn.map_batches`. jax and numpy; no training.

`models.learn.map_batches` says what a network sees; this says it again for a compiler, so that a whole pass over the data is one
compiled loop without a copy from the host. `check` holds the two together and refuses to train where they differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.crystal import Crystal, are_orthogonal, canonical_origin
from crystalloop.models.crystals.properties import E_F, PROPERTIES
from crystalloop.models.learn.engine import Batch
from crystalloop.models.learn.map_batches import class_counts, elements_present, head_targets
from crystalloop.models.maps.channels import CLASSES, COORDINATE_SCALE_ANG, REFERENCE_DENSITY
from crystalloop.models.maps.element_codes import element_codes
from crystalloop.models.maps.voxels import VoxelConfig, lattices_of, widths_and_radii_ang
from crystalloop.models.nets.configs import UNetConfig, VAEConfig, decile_one_hot
from crystalloop.models.nets.unet import voxel_weights

Arrays = dict[str, jax.Array]
Recipe = Callable[[Arrays, jax.Array, jax.Array, jax.Array], Arrays]
"""Data on the device, rows [b], random key, step number -> the batch that a network's compute_loss takes."""


class Unlike(ValueError):
    """Batches drawn on the device are not those of models.learn.map_batches."""


@dataclass(frozen=True)
class DeviceData:
    """What lies on the device all the time, and how a batch comes of it."""

    arrays: Arrays
    recipe: Recipe


def atoms_of(crystals: Sequence[Crystal], voxels: VoxelConfig) -> dict[str, NDArray[Any]]:
    """Padded atoms of orthogonal cells: numbers [c, a] (0 is padding), coords [c, a, 3], widths and radii [c, a], edges [c, 3].

    Atoms are ordered by number, because equal distances go to the lower one.

    Raises:
        Unlike: a cell that is not orthogonal.
    """
    if not are_orthogonal(lattices_of(crystals)).all():
        raise Unlike(
            "a cell is not orthogonal: its maps are not separable; leave it out (prepare_arrays.py --cell cubic)"
        )
    most = max(len(crystal) for crystal in crystals)
    numbers = np.zeros((len(crystals), most), np.int32)
    coords = np.zeros((len(crystals), most, 3), np.float32)
    for row, crystal in enumerate(crystals):
        order = np.argsort(crystal.numbers, kind="stable")
        numbers[row, : len(order)] = crystal.numbers[order]
        coords[row, : len(order)] = crystal.frac_coords[order]
    edges = np.array([crystal.lengths_ang for crystal in crystals])
    widths, radii = widths_and_radii_ang(numbers.astype(np.int64), edges.max(axis=1, keepdims=True), voxels)
    radii = np.where(numbers > 0, radii, 0.0)
    floats: dict[str, NDArray[Any]] = {"coords": coords, "widths": widths, "radii": radii, "edges": edges}
    return {"numbers": numbers, **{name: array.astype(np.float32) for name, array in floats.items()}}


@dataclass(frozen=True)
class Drawing:
    """What is the same for all maps of a training set.

    Attributes:
        n: voxels per edge.
        images: periodic images on each side that the widest atom needs, as in `voxel_kernels.periodic_gaussians`.
        code_width: of the element codes' Gaussian, as a fraction of the cell.
        code_images: the same for it.
    """

    n: int
    images: int
    code_width: float
    code_images: int

    @classmethod
    def of(cls, atoms: Mapping[str, NDArray[Any]], voxels: VoxelConfig) -> Drawing:
        """For padded atoms, as `atoms_of` gives them."""
        reach = np.sqrt(-2.0 * np.log(voxels.tail))
        widest = float((atoms["widths"] / atoms["edges"].min(axis=1, keepdims=True)).max())
        code_width = max(voxels.code_width, voxels.min_width_voxels / voxels.n)
        images, code_images = (int(np.ceil(reach * width + 0.5)) for width in (widest, code_width))
        return cls(voxels.n, images, code_width, code_images)


def draw_density(atoms: Arrays, how: Drawing) -> jax.Array:
    """Density in e/angstrom^3 of padded atoms, [b, n, n, n]: one product of tables along each axis."""
    width = atoms["widths"][..., None, None]  # [b, a, 1, 1]
    scale = atoms["edges"][:, None, :, None] / (np.sqrt(2.0) * width)  # [b, a, 3, 1]
    x, y, z = _tables(_offsets(atoms["coords"], how.n), scale, how.images, np.sqrt(2.0 * np.pi) * width)
    z = z * atoms["numbers"][..., None].astype(z.dtype)  # padding draws nothing
    return jnp.einsum("bai,baj,bak->bijk", x, y, z, precision="highest")


def draw_codes(atoms: Arrays, how: Drawing) -> jax.Array:
    """Element codes, as `voxels.code_batch`: [b, n, n, n, 8]."""
    x, y, z = _tables(_offsets(atoms["coords"], how.n), 1.0 / (np.sqrt(2.0) * how.code_width), how.code_images, 1.0)
    codes = jnp.asarray(element_codes())[atoms["numbers"]]  # [b, a, 8]; padding has the background's, zero
    return jnp.einsum("bai,baj,bakc->bijkc", x, y, z[..., None] * codes[:, :, None, :], precision="highest")


def _tables(offset: jax.Array, scale: Any, images: int, norm: Any) -> jax.Array:  # noqa: ANN401
    """Periodic Gaussians along the three axes: [3, b, a, n]."""
    total = sum(jnp.exp(-jnp.square((offset + image) * scale)) for image in range(-images, images + 1))
    return jnp.moveaxis(total / norm, 2, 0)


def draw_species(atoms: Arrays, n: int) -> jax.Array:
    """Atomic number of the nearest atom whose sphere holds the voxel, else 0: [b, n, n, n] int32."""
    squared = jnp.square(_offsets(atoms["coords"], n) * atoms["edges"][:, None, :, None])  # [b, a, 3, n]
    shape = (squared.shape[0], n, n, n)

    def nearer(atom: jax.Array, found: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        nearest, species = found
        x, y, z = jnp.moveaxis(squared[:, atom], 1, 0)
        distance = x[:, :, None, None] + y[:, None, :, None] + z[:, None, None, :]
        radius = atoms["radii"][:, atom][:, None, None, None]
        closer = (distance < jnp.square(radius)) & (distance < nearest - 1e-6)
        number = atoms["numbers"][:, atom][:, None, None, None]
        return jnp.where(closer, distance, nearest), jnp.where(closer, number, species)

    start = jnp.full(shape, jnp.inf), jnp.zeros(shape, jnp.int32)
    return jax.lax.fori_loop(0, squared.shape[1], nearer, start)[1]


def draw_channels(atoms: Arrays, how: Drawing) -> jax.Array:
    """The networks' input, as `batches.draw_maps`: [b, n, n, n, 12]."""
    n = how.n
    density = jnp.log1p(draw_density(atoms, how) / REFERENCE_DENSITY)
    steps = (
        jnp.arange(n, dtype=jnp.float32)[:, None] / n * atoms["edges"][:, None, :] / COORDINATE_SCALE_ANG
    )  # [b, n, 3]
    shape = (*density.shape,)
    coordinates = [
        jnp.broadcast_to(steps[:, :, axis].reshape(-1, *(n if a == axis else 1 for a in range(3))), shape)
        for axis in range(3)
    ]
    return jnp.concatenate([jnp.stack([density, *coordinates], axis=-1), draw_codes(atoms, how)], axis=-1)


def unet_data(crystals: Sequence[Crystal], voxels: VoxelConfig, config: UNetConfig) -> DeviceData:
    """As `models.learn.map_batches.unet_batches`: each crystal at a random origin and turn whenever it is seen."""
    atoms = atoms_of(crystals, voxels)
    how = Drawing.of(atoms, voxels)
    table = voxel_weights(np.arange(CLASSES), class_counts(crystals, voxels), config)

    def recipe(data: Arrays, rows: jax.Array, key: jax.Array, step: jax.Array) -> Arrays:
        turned = turn({name: data[name][rows] for name in atoms}, key)
        return unet_batch(turned, data["table"], step, how)

    return DeviceData({name: jnp.asarray(array) for name, array in (atoms | {"table": table}).items()}, recipe)


def turn(atoms: Arrays, key: jax.Array) -> Arrays:
    """As `models.crystals.crystal.turn`: a random origin, and a random order and direction of the axes, for each cell."""
    order_key, sign_key, shift_key = jax.random.split(key, 3)
    count = len(atoms["edges"])
    order = jax.vmap(lambda one: jax.random.permutation(one, 3))(jax.random.split(order_key, count))  # [b, 3]
    signs = jax.random.rademacher(sign_key, (count, 1, 3), dtype=jnp.float32)
    coords = jnp.take_along_axis(atoms["coords"], order[:, None, :], axis=2) * signs
    shifted = coords + jax.random.uniform(shift_key, (count, 1, 3))
    return atoms | {"coords": shifted, "edges": jnp.take_along_axis(atoms["edges"], order, axis=1)}


def unet_batch(atoms: Arrays, table: jax.Array, step: jax.Array, how: Drawing) -> Arrays:
    """What `UNet.compute_loss` takes, of atoms where they stand; the corner goes round with the steps."""
    n, species = how.n, draw_species(atoms, how.n)
    blocks = species.reshape(-1, n // 2, 2, n // 2, 2, n // 2, 2).transpose(0, 1, 3, 5, 2, 4, 6)
    corner = jnp.asarray(step % 8, jnp.int32)
    some = jnp.take(blocks.reshape(*blocks.shape[:4], 8), corner, axis=4)
    return {
        "maps": draw_channels(atoms, how),
        "occupied": (species > 0).astype(jnp.float32),
        "corner": corner,
        "species": some,
        "weights": table[some],
    }


def vae_data(
    crystals: Sequence[Crystal], labels: NDArray[np.floating], voxels: VoxelConfig, config: VAEConfig, steps: int
) -> DeviceData:
    """As `models.learn.map_batches.vae_batches`: canonical origins, conditions left out now and then, beta growing."""
    atoms = atoms_of([canonical_origin(crystal) for crystal in crystals], voxels)
    how = Drawing.of(atoms, voxels)
    condition = decile_one_hot(labels[:, PROPERTIES.index(E_F)], config.decile_edges_ev)
    more = {"condition": condition, "elements": elements_present(crystals)}
    warm = max(1.0, config.warm_up * steps)

    def recipe(data: Arrays, rows: jax.Array, key: jax.Array, step: jax.Array) -> Arrays:
        keep_key, noise_key = jax.random.split(key)
        kept = jax.random.uniform(keep_key, (len(rows), 1)) >= config.drop_condition
        return {
            "maps": draw_channels({name: data[name][rows] for name in atoms}, how),
            **{name: data[name][rows] for name in more},
            "condition": data["condition"][rows] * kept,
            "noise": jax.random.normal(noise_key, (len(rows), config.latent)),
            "beta": config.beta * jnp.minimum(1.0, (step + 1.0) / warm),
        }

    return DeviceData({name: jnp.asarray(array) for name, array in (atoms | more).items()}, recipe)


def head_data(
    facts: NDArray[np.floating], labels: NDArray[np.floating], edges_ang: NDArray[np.floating], config: VAEConfig
) -> DeviceData:
    """As `models.learn.map_batches.head_batches`: what crystals are made of, their labels and edges."""
    targets, known = head_targets(labels, edges_ang, config)
    arrays = {"facts": facts, "targets": targets, "known": known}

    def recipe(data: Arrays, rows: jax.Array, key: jax.Array, step: jax.Array) -> Arrays:
        return {name: data[name][rows] for name in arrays}

    return DeviceData({name: jnp.asarray(array) for name, array in arrays.items()}, recipe)


def check(made: Mapping[str, Any], wanted: Batch) -> None:
    """Refuse a batch without the keys and shapes of the host's.

    Raises:
        Unlike: keys or shapes differ.
    """
    ours = {name: tuple(array.shape) for name, array in made.items()}
    theirs = {name: tuple(array.shape) for name, array in wanted.items()}
    if ours != theirs:
        odd = {name: (ours.get(name), theirs.get(name)) for name in ours | theirs if ours.get(name) != theirs.get(name)}
        raise Unlike(f"device and host batches differ in {odd}: bring bench/device_batches.py up to models/batches.py")


def _offsets(coords: jax.Array, n: int) -> jax.Array:
    """Fractional offset of the grid points i/n from each coordinate, wrapped into [-1/2, 1/2]: [b, a, 3, n]."""
    offset = jnp.arange(n, dtype=jnp.float32) / n - coords[..., None]
    return offset - jnp.round(offset)
