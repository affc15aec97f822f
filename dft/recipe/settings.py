"""PwSettings, everything that steers one relaxation with pw.x, and the presets. No structures and no files here."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class InputError(ValueError):
    """Structure and settings do not make a pw.x input."""

    exit_kind = "usage"


Positive = Annotated[float, Field(gt=0)]

CODE_VERSION = 2
"""Raised when a change of this package changes what pw.x computes; part of every calculation key."""

_BEFORE_THE_CRYSTAL_IS_KNOWN = frozenset({"kspacing_metals_inv_ang", "magnetic", "starting_moments", "moment_sets"})
"""Fields that `dft.recipe.element_rules` turns into others for each crystal: those count, and moments where nspin is 2."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WhatIsComputed(_Part):
    """A change here is another calculation. The thresholds are per relaxation except where the name says per atom."""

    ecutwfc_ry: Positive | None = None  # None: the largest value of the pseudopotential table
    ecutrho_ry: Positive | None = None
    kspacing_inv_ang: Annotated[float, Field(ge=0.05, le=2.0)] = 0.45  # distance of k points, with the factor 2 pi
    kspacing_metals_inv_ang: Annotated[float, Field(ge=0.05, le=2.0)] | None = None
    """The most between k points for crystals without any anion (dft.recipe.element_rules); None: as for all others."""
    smearing: Literal["gaussian", "methfessel-paxton", "marzari-vanderbilt", "fermi-dirac"] = "gaussian"
    degauss_ry: Positive = 0.02
    conv_thr_ry_per_atom: Positive = 1e-8
    etot_conv_thr_ry: Positive = 1e-4
    forc_conv_thr_ry_bohr: Positive = 1e-3
    press_conv_thr_kbar: Positive = 0.5
    d2: bool = False  # Grimme's D2 dispersion
    nspin: Literal[1, 2] = 1
    starting_magnetization: Annotated[float, Field(ge=-1, le=1)] = 0.5  # of every species, where nspin is 2
    starting_moments: dict[str, Annotated[float, Field(ge=-20, le=20)]] = Field(default_factory=dict)
    """Element -> Bohr magnetons per atom to start from, where nspin is 2; in place of starting_magnetization."""
    moment_sets: tuple[dict[str, Annotated[float, Field(ge=-20, le=20)]], ...] = ()
    """Several starting_moments: the crystal is relaxed from each, and the lowest energy counts."""
    magnetic: Literal["off", "auto"] = (
        "off"  # auto: spin-polarised where dft.recipe.element_rules knows an element as magnetic
    )
    tot_magnetization: float | None = None  # fixed moment of the cell in Bohr magnetons, for open-shell molecules
    vary: Literal["cell", "atoms", "nothing"] = "cell"  # atoms: in a cell that stays; nothing: one SCF as given
    gamma_only: bool = False  # one k point, for molecules in a box

    @model_validator(mode="after")
    def _cutoffs_fit_together(self) -> Self:
        if self.ecutwfc_ry and self.ecutrho_ry and self.ecutrho_ry < 4 * self.ecutwfc_ry:
            raise ValueError(
                f"ecutrho_ry is {self.ecutrho_ry}, below 4 x ecutwfc_ry = {4 * self.ecutwfc_ry}: "
                "raise it, or leave both out and take them from the pseudopotential table"
            )
        if self.tot_magnetization is not None and self.nspin == 1:
            raise ValueError("tot_magnetization needs nspin: 2")
        return self


class WhatItMayCost(_Part):
    """Limits; an answer within them is the same."""

    max_seconds: Annotated[int, Field(ge=10)] = 3600  # wall time of one launch
    max_attempts: Annotated[int, Field(ge=1, le=20)] = 5
    max_cpu_hours: Positive = 24.0  # of one crystal, all launches together; looked at after each of them

    @property
    def max_cpu_s(self) -> float:
        """CPU seconds that one crystal may cost."""
        return 3600 * self.max_cpu_hours


class HowItIsReached(_Part):
    """The way to the same answer; the corrections of dft.heal.corrections change these."""

    electron_maxstep: Annotated[int, Field(ge=1)] = 100
    extra_bands: Annotated[float, Field(ge=0, le=10)] = 0.0  # share over what pw.x takes by itself
    mixing_beta: Annotated[float, Field(gt=0, le=1)] = 0.7
    mixing_mode: Literal["plain", "TF", "local-TF"] = "plain"
    diagonalization: Literal["david", "cg", "paro"] = "david"
    nstep: Annotated[int, Field(ge=1)] = 40
    cell_factor: Annotated[float, Field(ge=1)] = 2.0
    trust_radius_min_bohr: Positive = 1e-4
    trust_radius_ini_bohr: Positive = 0.5
    method: Literal["auto", "eos", "vc-relax"] = "auto"
    """Where symmetry leaves only the volume free: auto follows the pressure to zero with single SCFs, eos computes the
    equation of state round that volume too, vc-relax does neither. Other cells are always relaxed by vc-relax."""
    start_volume: Literal["given", "radii"] = "given"  # radii: where the closest atoms touch, whatever was given
    cheap_first: bool = False
    """Relax with the k points and thresholds of the test preset first; reject by the two limits below, or go on from there."""
    reject_volume_percent: Positive = 40.0  # change of the volume against the crystal as generated; 12 to 16 % in a_ang
    reject_above_ev_per_atom: float | None = None  # total energy, say that of the elements and half an eV
    always_vc_relax: bool = False  # the older name of method: vc-relax
    band_gap: Literal["none", "scf", "nscf"] = "none"
    """Whether the gap is part of the answer: of the states on the mesh, or on one of twice as many points per edge too."""
    k_mesh: tuple[int, int, int] | None = None  # kept over a series of volumes; None: from kspacing and the cell
    damped: bool = False  # damped dynamics in place of BFGS
    nosym: bool = False

    @property
    def follows_the_volume(self) -> bool:
        """Whether cells with only their volume free are computed by single SCFs."""
        return not (self.method == "vc-relax" or self.always_vc_relax or self.damped)


class PwSettings(HowItIsReached, WhatItMayCost, WhatIsComputed):
    """How pw.x computes one crystal: the fields of all three parts side by side, in documents and campaign files too."""

    def physics(self) -> dict[str, Any]:
        """The fields that decide the answer; limits and numerical detours are left out.

        Two settings with equal physics give the same crystal and energy, so a result of one serves the other.
        """
        names = [name for name in WhatIsComputed.model_fields if name not in _BEFORE_THE_CRYSTAL_IS_KNOWN]
        physics = {name: getattr(self, name) for name in names}
        # Keys of earlier documents stay what they were.
        if self.method == "eos":
            physics["method"] = "eos"  # a result without bulk modulus does not serve
        if self.band_gap != "none":
            physics["band_gap"] = self.band_gap  # nor does one without a gap
        if self.starting_moments and self.nspin == 2:
            physics["starting_moments"] = dict(self.starting_moments)
        if self.moment_sets and self.nspin == 2:
            physics["moment_sets"] = [dict(moments) for moments in self.moment_sets]
        if self.k_mesh is not None:
            physics["k_mesh"] = self.k_mesh
        return physics


PRESETS: dict[str, PwSettings] = {
    # Seconds per small crystal; lattice parameters to about 0.3 %. Metals' energies are rough.
    "test": PwSettings(
        kspacing_inv_ang=0.70,
        etot_conv_thr_ry=1e-3,
        forc_conv_thr_ry_bohr=1e-2,
        press_conv_thr_kbar=5.0,
        max_seconds=600,
        max_cpu_hours=4.0,
        magnetic="auto",
    ),
    # A screening run: formation energies to some 10 meV/atom.
    "fast": PwSettings(magnetic="auto", kspacing_metals_inv_ang=0.20),
    # k points, smearing and dispersion of the original study.
    "paper": PwSettings(
        kspacing_inv_ang=0.20, degauss_ry=0.01, d2=True, max_seconds=6 * 3600, max_cpu_hours=96.0, magnetic="auto"
    ),
}


def preset(name: str) -> PwSettings:
    """Settings by name: test, fast or paper.

    Raises:
        ValueError: there is no such preset.
    """
    try:
        return PRESETS[name]
    except KeyError:
        raise ValueError(f"no DFT preset {name!r}; there are {', '.join(PRESETS)}") from None
