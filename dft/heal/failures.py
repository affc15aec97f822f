"""The numbered catalogue of what goes wrong with pw.x, and how each failure is recognised. Pure.

Neither the exit code nor `JOB DONE.` is enough: an unconverged SCF ends with the latter, a full disk under stdout with
the former. `diagnose` therefore asks in a fixed order: what the launcher said, `Error in routine X (n)`, known sentences,
an optimisation that did not end, a missing `JOB DONE.`, and last the physics of what looks like a success.
The cures are in `dft.heal.corrections`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, IntEnum

from crystalloop.dft.pw.output import Cycle, PwOutput
from crystalloop.dft.recipe.settings import PwSettings
from crystalloop.dft.recipe.units import BOHR_ANG, RYDBERG_EV


class Move(Enum):
    """The next move after a failure."""

    GIVE_UP = "give up"  # the same again would end the same
    RETRY = "retry"  # nothing to change: from the last complete cell where there is one
    CORRECT = "retry with a correction"


@dataclass(frozen=True)
class Case:
    """One line of the catalogue."""

    number: int
    action: Move
    meaning: str  # for the attempt's record, a sentence
    cure: str = ""
    documented_only: bool = False  # the text is known from pw.x's documentation and forums; nobody provoked it here


class PwFailure(Enum):
    """1xx before the crystal is looked at, 2xx input, 3xx electrons, 4xx atoms and cell, 5xx resources, 6xx physics, 7xx others."""

    PSEUDO_TRUNCATED = Case(101, Move.GIVE_UP, "a pseudopotential file ends early", "install it again")
    PSEUDO_MISSING = Case(102, Move.GIVE_UP, "a pseudopotential file is missing or unreadable", "install it again")
    LAUNCH_FAILED = Case(103, Move.RETRY, "pw.x ended before its first line", "once more; check mpi and the UPF files")
    NO_SLOTS = Case(
        104, Move.GIVE_UP, "mpirun or srun has fewer slots than ranks are asked for", "fewer ranks in pw_command"
    )
    SCRATCH_UNWRITABLE = Case(105, Move.GIVE_UP, "the scratch folder cannot be written", "make it writable")
    BAD_INPUT = Case(201, Move.GIVE_UP, "pw.x cannot read the input: a defect of this program", "report it")
    SINGULAR_CELL = Case(202, Move.GIVE_UP, "the cell is singular or has no k-point mesh", "reject the structure")
    ATOMS_OVERLAP = Case(203, Move.GIVE_UP, "two atoms are at the same place", "reject the structure")
    ATOMS_TOO_CLOSE = Case(204, Move.GIVE_UP, "two atoms are nearer than half the sum of their radii", "reject")
    VOLUME_OUT_OF_RANGE = Case(205, Move.GIVE_UP, "the volume per atom is that of no crystal", "reject")
    ATOMS_TOO_FAR = Case(210, Move.GIVE_UP, "no two atoms are near enough to bond", "reject the structure")
    TOO_FEW_BANDS = Case(206, Move.CORRECT, "fewer bands than electrons need", "more empty bands")
    TOO_FEW_PLANE_WAVES = Case(207, Move.GIVE_UP, "more bands than plane waves", "raise the cutoff")
    NO_DISPERSION = Case(208, Move.GIVE_UP, "D2 has no parameters for an element", "leave the element or D2 out")
    CHARGE_NEEDS_SMEARING = Case(209, Move.GIVE_UP, "odd number of electrons without smearing", "always smear")
    NO_STARTING_MOMENT = Case(211, Move.CORRECT, "spin-polarised without any starting moment", "give each atom one")
    FRACTIONAL_OCCUPANCY = Case(212, Move.GIVE_UP, "a site is shared by several elements or partly empty", "order it")
    MEMORY_NEEDED = Case(213, Move.GIVE_UP, "more memory would be needed than the worker has", "a smaller cell")
    ACTINIDE = Case(214, Move.GIVE_UP, "an element for which plain PBE is not reliable", "leave the element out")
    SCF_NOT_CONVERGED = Case(301, Move.CORRECT, "the SCF cycle did not converge", "more steps, gentler mixing")
    CHARGE_WRONG = Case(302, Move.CORRECT, "the charge density lost electrons", "gentler mixing", True)
    DIAGONALIZATION = Case(303, Move.CORRECT, "too many bands were not converged", "another algorithm: paro, cg")
    OVERLAP_NOT_POSITIVE = Case(
        304, Move.CORRECT, "the overlap matrix is not positive definite", "another algorithm: paro, cg", True
    )
    FERMI_NOT_FOUND = Case(305, Move.CORRECT, "no Fermi energy holds all electrons", "more empty bands")
    MOMENT_VANISHED = Case(
        306, Move.CORRECT, "spin-polarised, but the moment vanished", "on without spin: half the cost"
    )
    FALSE_BFGS = Case(401, Move.CORRECT, "BFGS reset twice and called that converged", "a tighter SCF, then damped")
    CELL_SHRANK = Case(402, Move.CORRECT, "the cell moved further than the tables reach", "cell_factor x 2")
    NSTEP = Case(403, Move.RETRY, "the optimisation ran out of steps", "go on from the last cell")
    BFGS_FAILED = Case(404, Move.CORRECT, "BFGS broke down", "a tighter SCF, then damped")
    SYMMETRY_LOST = Case(405, Move.CORRECT, "the cell and its symmetry operations disagree", "without symmetry")
    OUT_OF_TIME = Case(501, Move.RETRY, "max_seconds passed", "go on from the last cell")
    STOPPED_BY_USER = Case(502, Move.RETRY, "an EXIT file asked for a stop", "go on from the last cell")
    KILLED = Case(503, Move.RETRY, "the process was killed", "go on from the last cell")
    TIMEOUT = Case(504, Move.RETRY, "no end within the wall-time limit; killed", "go on from the last cell")
    OUT_OF_MEMORY = Case(505, Move.GIVE_UP, "memory ran out", "a smaller cell, leaner pseudopotentials")
    DISK_FULL = Case(506, Move.RETRY, "a file could not be written", "the free space is checked before each launch")
    OUTPUT_CUT = Case(507, Move.RETRY, "stdout stops before JOB DONE", "once more")
    CRASHED = Case(508, Move.RETRY, "pw.x crashed: segmentation fault or abort", "once more, from scratch")
    RANK_LOST = Case(509, Move.RETRY, "a rank of an MPI run was killed", "go on from the last cell")
    RESTART_UNREADABLE = Case(510, Move.RETRY, "the files to go on from are unreadable", "from scratch, last cell")
    RESIDUAL_STRESS = Case(601, Move.RETRY, "the fresh cell is still under stress", "relax once more from it")
    RESIDUAL_FORCE = Case(602, Move.RETRY, "atoms of the fresh cell still feel forces", "relax once more from it")
    NO_FRESH_CELL = Case(603, Move.CORRECT, "relaxed, but not computed in its own plane waves", "BFGS from there")
    NO_RESULT = Case(604, Move.GIVE_UP, "JOB DONE without energy, forces or stress", "report it")
    REJECTED_EARLY = Case(620, Move.GIVE_UP, "the cheap rung found it far from what was proposed", "see the limits")
    NO_ANSWER = Case(701, Move.GIVE_UP, "the oracle has no answer for this crystal", "ask another one")
    UNKNOWN_ERROR = Case(999, Move.GIVE_UP, "an error that this catalogue does not know", "add a row")

    @property
    def number(self) -> int:
        """Its number in the catalogue."""
        return self.value.number

    @property
    def action(self) -> Move:
        """The next move."""
        return self.value.action

    @property
    def cure(self) -> str:
        """The next move in words."""
        return self.value.cure

    @property
    def documented_only(self) -> bool:
        """Whether its text is known from documentation alone."""
        return self.value.documented_only

    @property
    def meaning(self) -> str:
        """What happened, in a sentence."""
        return self.value.meaning


class _Place(IntEnum):
    """Where a sign is looked for, in the order in which the places are searched."""

    LAUNCHER = 1  # stderr
    ROUTINE = 2  # "routine (code): message" of the error boxes
    TEXT = 3  # stdout


MACHINES_FAULT = frozenset({PwFailure.NO_SLOTS, PwFailure.SCRATCH_UNWRITABLE})
"""The crystal is not to blame: no outcome of it is recorded, and the worker ends."""

# The first match decides. Within a place, the narrower pattern stands first.
_SIGNS: tuple[tuple[_Place, str, PwFailure], ...] = (
    (_Place.LAUNCHER, r"Cannot allocate memory|Allocation would exceed|std::bad_alloc", PwFailure.OUT_OF_MEMORY),
    (_Place.LAUNCHER, r"failed to map segment", PwFailure.OUT_OF_MEMORY),  # of a shared library: ld.so
    (_Place.LAUNCHER, r"No space left on device|Disk quota exceeded|File too large", PwFailure.DISK_FULL),
    # The same in the words of OpenMPI, which dies of it in its session folder (TMPDIR) before pw.x writes a line.
    (_Place.LAUNCHER, r"OUT-OF-RESOURCE in file .*dstore|signal 25|File size limit|SIGXFSZ", PwFailure.DISK_FULL),
    (_Place.LAUNCHER, r"upf\w*\.f90|xmltools\.f90|read_upf", PwFailure.PSEUDO_TRUNCATED),
    (_Place.LAUNCHER, r"not enough slots available|Unable to create step for job", PwFailure.NO_SLOTS),
    (
        _Place.LAUNCHER,
        r"mpirun (noticed|detected|has exited)|prte noticed|srun: error: .* task .*: Killed",
        PwFailure.RANK_LOST,
    ),
    (
        _Place.ROUTINE,
        r"check_tempdir|cannot be created or accessed|unable to create directory",
        PwFailure.SCRATCH_UNWRITABLE,
    ),
    (
        _Place.ROUTINE,
        r"davcio .*error reading file|read_conf_from_file|fatal error reading xml|pw_restart|read_rhog",
        PwFailure.RESTART_UNREADABLE,
    ),
    (_Place.ROUTINE, r"some starting_magnetization MUST be set", PwFailure.NO_STARTING_MOMENT),
    (_Place.ROUTINE, r"efermi|cannot bracket Ef|bad Fermi energy", PwFailure.FERMI_NOT_FOUND),
    (_Place.ROUTINE, r"readpp .*(not found|not readable|empty|wrong)", PwFailure.PSEUDO_MISSING),
    (_Place.ROUTINE, r"read_upf|readpp|upf_|read_pseudo", PwFailure.PSEUDO_TRUNCATED),
    (_Place.ROUTINE, r"error (writing|opening|reading) file|write_rhog|davcio|diropn", PwFailure.DISK_FULL),
    (_Place.ROUTINE, r"check_atoms|overlapping atoms", PwFailure.ATOMS_OVERLAP),
    (_Place.ROUTINE, r"smearing is needed", PwFailure.CHARGE_NEEDS_SMEARING),
    (_Place.ROUTINE, r"charge is wrong", PwFailure.CHARGE_WRONG),
    (_Place.ROUTINE, r"scale_h|cell_factor", PwFailure.CELL_SHRANK),
    (_Place.ROUTINE, r"init_london", PwFailure.NO_DISPERSION),
    (_Place.ROUTINE, r"too few (spin \w+ )?bands", PwFailure.TOO_FEW_BANDS),
    (_Place.ROUTINE, r"memory_report|more bands than PWs", PwFailure.TOO_FEW_PLANE_WAVES),
    (
        _Place.ROUTINE,
        r"kpoint_grid|card_kpoints|recips|latgen|cell_base|singular|inhostat|DGETRF|invmat",
        PwFailure.SINGULAR_CELL,
    ),
    (
        _Place.ROUTINE,
        r"too many bands are not converged|c_bands",
        PwFailure.DIAGONALIZATION,
    ),
    (
        _Place.ROUTINE,
        r"cdiagh|rdiagh|cholesky|positive definite|[cr]egterg|broyden",
        PwFailure.OVERLAP_NOT_POSITIVE,
    ),
    (_Place.ROUTINE, r"bfgs|dE0s is positive", PwFailure.BFGS_FAILED),
    (_Place.ROUTINE, r"not orthogonal|symmetr|checkallsym|lone vector|sym_rho", PwFailure.SYMMETRY_LOST),
    (
        _Place.ROUTINE,
        r"read_namelists|read_cards|card_|iosys|system_checkin|input|reading",
        PwFailure.BAD_INPUT,
    ),
    (_Place.ROUTINE, r".", PwFailure.UNKNOWN_ERROR),
    (_Place.TEXT, r"convergence NOT achieved after", PwFailure.SCF_NOT_CONVERGED),
    (_Place.TEXT, r"Maximum CPU time exceeded", PwFailure.OUT_OF_TIME),
    (_Place.TEXT, r"Program stopped by user request|Signal Received, stopping", PwFailure.STOPPED_BY_USER),
    # 7.2 says that a BFGS which reset twice has failed, and exits with 3; 6.7 calls it converged and exits with 0.
    (_Place.TEXT, r"bfgs failed after", PwFailure.BFGS_FAILED),
    (_Place.TEXT, r"history already reset at previous step: stopping", PwFailure.FALSE_BFGS),
    (_Place.TEXT, r"The maximum number of steps has been reached", PwFailure.NSTEP),
)


_CRASHES = frozenset({-6, -8, -11, 134, 136, 139})
"""Exit by SIGABRT, SIGFPE or SIGSEGV, as the kernel tells it or a shell."""
NO_MOMENT_BOHR = 0.05
"""Absolute magnetisation of the cell below which there is none: what convergence leaves is smaller."""


def diagnose(output: PwOutput, settings: PwSettings | None = None) -> PwFailure | None:
    """What went wrong, or None for a result to be believed.

    Args:
        output: the launch.
        settings: with them the recomputed stress and forces are held against their thresholds, which a
            vc-relax can miss although pw.x reports success: it keeps the plane waves of the starting cell.
    """
    places = {
        _Place.LAUNCHER: output.stderr,
        _Place.ROUTINE: "\n".join(f"{e.routine} ({e.code}): {e.message}" for e in output.errors),
        _Place.TEXT: output.stdout,
    }
    for place, pattern, failure in _SIGNS:
        if re.search(pattern, places[place], flags=re.IGNORECASE):
            return None if failure is PwFailure.FALSE_BFGS and _good_after_all(output, settings) else failure
    return _ended_early(output) or _physics(output, settings)


def _good_after_all(output: PwOutput, settings: PwSettings | None) -> bool:
    """Whether the fresh cell meets the thresholds though BFGS stumbled on its way."""
    return settings is not None and _ended_early(output) is None and _physics(output, settings) is None


def _ended_early(output: PwOutput) -> PwFailure | None:
    if output.timed_out:
        return PwFailure.TIMEOUT
    if output.returncode == 255:
        return PwFailure.STOPPED_BY_USER
    if output.returncode in _CRASHES or re.search(r"Segmentation fault|Program aborted", output.stderr):
        return PwFailure.CRASHED if output.version else PwFailure.LAUNCH_FAILED
    if output.returncode < 0 or output.returncode in (137, 143):
        return PwFailure.KILLED
    if not output.job_done:
        return PwFailure.OUTPUT_CUT if output.version else PwFailure.LAUNCH_FAILED
    return PwFailure.UNKNOWN_ERROR if output.returncode != 0 else None


def _physics(output: PwOutput, settings: PwSettings | None) -> PwFailure | None:
    last = output.last
    if last is None or not output.scf_converged or last.largest_stress_kbar is None or last.fmax_ev_ang is None:
        return PwFailure.NO_RESULT
    if last.structure is None:  # no atoms are printed, or a cell that is none
        return PwFailure.NO_RESULT
    if settings is None or settings.vary == "nothing":
        return None
    if not output.final_scf and output.n_scf > 1 and settings.vary == "cell":
        return PwFailure.NO_FRESH_CELL
    amiss = _amiss(last, settings)
    absolute = output.absolute_magnetization
    if amiss is not None and settings.nspin == 2 and settings.tot_magnetization is None and absolute is not None:
        return PwFailure.MOMENT_VANISHED if absolute < NO_MOMENT_BOHR else amiss
    return amiss


def _amiss(last: Cycle, settings: PwSettings) -> PwFailure | None:
    if last.largest_stress_kbar is None or last.fmax_ev_ang is None:
        return PwFailure.NO_RESULT
    if settings.vary == "cell" and last.largest_stress_kbar > settings.press_conv_thr_kbar:
        return PwFailure.RESIDUAL_STRESS
    if last.fmax_ev_ang > settings.forc_conv_thr_ry_bohr * RYDBERG_EV / BOHR_ANG:
        return PwFailure.RESIDUAL_FORCE
    return None
