"""What a relaxation comes to, believed or given up, and the lowest of several. How it is reached is in `dft.relax.relax`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from pymatgen.core.structure import Structure

from crystalloop.dft.heal.failures import NO_MOMENT_BOHR, PwFailure
from crystalloop.dft.recipe.cells import conventional_cell, spacegroup_number
from crystalloop.dft.recipe.settings import PwSettings
from crystalloop.dft.relax.attempt import AttemptReport, Tried
from crystalloop.dft.relax.band_gap import BandGap, band_gap
from crystalloop.dft.relax.equation_of_state import EquationOfState
from crystalloop.dft.relax.rungs import Rung, compare


@dataclass(frozen=True)
class SpinState:
    """Where a relaxation ended that began with other moments."""

    energy_per_atom_ev: float
    magnetization_bohr: float | None  # of the primitive cell; None where it went on without spin
    absolute_magnetization_bohr: float | None


@dataclass(frozen=True)
class Relaxed:
    """A relaxation whose pressure, forces and SCF were computed anew in the final cell and lie within the thresholds."""

    structure: Structure  # the cell that pw.x saw
    conventional: Structure
    energy_ev: float  # E0 = F + TS/2 of `structure`
    energy_per_atom_ev: float
    a_ang: float  # edge a of the conventional cell
    spacegroup: int
    pressure_kbar: float
    fmax_ev_ang: float
    steps: int  # moves of cell and atoms over all launches
    bond_change_percent: float | None  # against the crystal as generated
    cell_change_percent: float | None
    cpu_s: float  # over all launches
    wall_s: float
    pw_version: str = ""  # this and the next are pw.x's alone
    pseudos: dict[str, str] = field(default_factory=dict)  # element -> md5
    attempts: tuple[AttemptReport, ...] = ()
    magnetization_bohr: float | None = None  # of `structure`; None where it was computed without spin
    absolute_magnetization_bohr: float | None = None  # the same with antiparallel moments added up
    dispersion_ev: float | None = None  # what D2 adds to energy_ev, where it was on
    volume_change_percent: float | None = None  # of the volume per atom, signed, against the crystal as generated
    spacegroup_before: int | None = None  # of the crystal as generated
    generated_pressure_kbar: float | None = None  # of the crystal as generated, before anything moved
    equation: EquationOfState | None = None  # with method eos
    rungs: tuple[Rung, ...] = ()  # with cheap_first
    spin_states: tuple[SpinState, ...] = ()  # with moment_sets, those that were reached, this one among them
    moments_bohr: tuple[float, ...] = ()  # of the atoms of `structure`, in spheres that pw.x chooses
    gap: BandGap | None = None  # None where no states were written

    @property
    def is_magnetic(self) -> bool:
        """Whether its atoms have moments, parallel or not."""
        return (self.absolute_magnetization_bohr or 0.0) >= NO_MOMENT_BOHR

    @property
    def band_gap(self) -> float | None:
        """Of the states that were computed, eV: an upper bound; 0 for a metal."""
        return None if self.gap is None else self.gap.gap_ev

    @classmethod
    def of(
        cls,
        generated: Structure,
        final: Structure,
        *,
        energy_ev: float,
        attempts: tuple[AttemptReport, ...],
        pressure_kbar: float = 0.0,
        fmax_ev_ang: float = 0.0,
        steps: int = 0,
        in_box: bool = False,
    ) -> Self:
        """With all that follows from the two structures and from the attempts; pw.x adds what it alone knows.

        Args:
            generated: the crystal as it was given.
            final: the cell that was relaxed, of the same composition.
            energy_ev: of all its atoms.
            attempts: what was done for it, and what that cost.
            pressure_kbar: left in `final`.
            fmax_ev_ang: the largest force left in it.
            steps: moves of cell and atoms over all attempts.
            in_box: an atom or a molecule: its box has no other conventional cell.
        """
        conventional, change = final if in_box else conventional_cell(final), compare(generated, final)
        return cls(
            structure=final,
            conventional=conventional,
            energy_ev=energy_ev,
            energy_per_atom_ev=energy_ev / len(final),
            a_ang=float(conventional.lattice.a),
            spacegroup=spacegroup_number(final),
            pressure_kbar=pressure_kbar,
            fmax_ev_ang=fmax_ev_ang,
            steps=steps,
            bond_change_percent=change.bond_change_percent,
            cell_change_percent=change.cell_change_percent,
            volume_change_percent=change.volume_change_percent,
            spacegroup_before=change.spacegroup_before,
            cpu_s=sum(report.cpu_s for report in attempts),
            wall_s=sum(report.wall_s for report in attempts),
            attempts=attempts,
        )


@dataclass(frozen=True)
class GaveUp:
    """No answer, and why: an outcome to record, not an error."""

    failure: PwFailure
    reason: str
    attempts: tuple[AttemptReport, ...]
    last_structure: Structure | None  # last complete cell, from which somebody may go on

    @classmethod
    def unanswered(cls, reason: str, attempts: tuple[AttemptReport, ...] = ()) -> Self:
        """Of an oracle that has no answer, for a reason that is not one of pw.x's."""
        return cls(PwFailure.NO_ANSWER, reason, attempts, None)

    @property
    def cpu_s(self) -> float:
        """Over all launches."""
        return sum(attempt.cpu_s for attempt in self.attempts)

    @property
    def wall_s(self) -> float:
        """Over all launches."""
        return sum(attempt.wall_s for attempt in self.attempts)


def relaxed(
    generated: Structure,
    tried: Tried,
    pseudos: dict[str, str],
    steps: int,
    reports: tuple[AttemptReport, ...],
    generated_pressure_kbar: float | None,
    settings: PwSettings,
) -> Relaxed:
    """What an attempt that diagnose() passed is as a result.

    Args:
        generated: the crystal as it was given.
        tried: the attempt.
        pseudos: element -> md5.
        steps: moves over all attempts.
        reports: of all attempts.
        generated_pressure_kbar: before anything moved.
        settings: of the attempt.

    Raises:
        ValueError: the attempt has no result.
    """
    output = tried.output
    last, final = (None, None) if output is None else (output.last, output.last_structure)
    if output is None or last is None or final is None or last.pressure_kbar is None or last.fmax_ev_ang is None:
        raise ValueError("diagnose() passed a launch without results")
    found = Relaxed.of(
        generated,
        final,
        energy_ev=last.energy_ev,
        attempts=reports,
        pressure_kbar=last.pressure_kbar,
        fmax_ev_ang=last.fmax_ev_ang,
        steps=steps,
        in_box=settings.vary == "atoms",
    )
    return replace(
        found,
        pw_version=output.version,
        pseudos=pseudos,
        magnetization_bohr=output.magnetization,
        absolute_magnetization_bohr=output.absolute_magnetization,
        dispersion_ev=last.dispersion_ev,
        generated_pressure_kbar=generated_pressure_kbar,
        equation=tried.equation,
        moments_bohr=output.moments,
        gap=None if output.bands is None or settings.band_gap == "none" else band_gap(output.bands),
    )


def lowest(found: Sequence[Relaxed | GaveUp]) -> Relaxed | GaveUp:
    """Of several relaxations of one crystal the one of lowest energy, with the attempts and the cost of all."""
    reports = tuple(report for each in found for report in each.attempts)
    relaxed = [each for each in found if isinstance(each, Relaxed)]
    if not relaxed:
        return replace(found[0], attempts=reports)
    best = min(relaxed, key=lambda each: each.energy_per_atom_ev)
    states = tuple(
        SpinState(e.energy_per_atom_ev, e.magnetization_bohr, e.absolute_magnetization_bohr) for e in relaxed
    )
    cpu_s, wall_s = sum(each.cpu_s for each in found), sum(each.wall_s for each in found)
    return replace(best, attempts=reports, cpu_s=cpu_s, wall_s=wall_s, spin_states=states)
