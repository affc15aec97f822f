"""What bench/planted.py plants: how the first launch of a relaxation is spoilt, and what must come of it. Runs nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any

from crystalloop.dft.pw.launch import XML, PwRun

VC = {"method": "vc-relax", "kspacing_inv_ang": 0.9}


class Wanted(Enum):
    """The right end of a relaxation with this failure in it."""

    CURED = "cured"  # accepted, and right
    REFUSED = "refused"  # given up by name: the same again would end the same
    MACHINE = "machine"  # an error of the machine, no outcome of the crystal


@dataclass(frozen=True)
class Planted:
    """What is spoilt in the first launch, or in all of them where nothing can cure it."""

    a_ang: float = 3.65
    compound: str = "Li"
    shift: float = 0.0  # of the second atom along the diagonal
    settings: dict[str, Any] = field(default_factory=dict)
    text: tuple[tuple[str, str], ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    files: Callable[[Path], None] | None = None  # in what a continuation goes on from
    before: Callable[[Path], None] | None = None  # in the folder of the launch
    output: Callable[[PwRun], PwRun] | None = None
    wanted: Wanted = Wanted.CURED
    also: tuple[str, ...] = ()  # its names where another release of pw.x says more


def _lose_xml(folder: Path) -> None:
    (folder / XML).unlink(missing_ok=True)


def _cut(run: PwRun) -> PwRun:
    return replace(run, stdout=run.stdout[: int(0.7 * len(run.stdout))])


def _half_a_pseudopotential(folder: Path) -> None:
    (folder.parent / "upf").mkdir(parents=True)
    (folder.parent / "upf" / "li_pbe_v1.4.uspp.F.UPF").write_text('<UPF version="2.0.1">\n')


def _no_pseudopotential(folder: Path) -> None:
    (folder.parent / "upf").mkdir(parents=True)


def _when(words: str, then: str) -> str:
    """A command: pw.x, and a line of shell with its process id in $! as soon as these words stand in its output."""
    wait = f'until grep -qs "{words}" pw.out; do kill -0 $! || exit 1; sleep 0.05; done'
    return f"sh -c 'pw.x \"$@\" & {wait}; {then}' sh"


STARTED = "iteration #  2"
MOVED = "number of scf cycles    =   2"
OTHER_FOLDER = (("pseudo_dir = '", "pseudo_dir = '../upf/' ! '"),)
LOOSE = (
    ("etot_conv_thr = 0.001", "etot_conv_thr = 10"),
    ("forc_conv_thr = 0.01", "forc_conv_thr = 0.5"),
    ("press_conv_thr = 5", "press_conv_thr = 900"),
)
REFUSED, MACHINE = Wanted.REFUSED, Wanted.MACHINE

CASES = {
    "scf_not_converged": Planted(text=(("electron_maxstep = 100", "electron_maxstep = 2"),)),
    "diagonalization": Planted(
        text=(
            ("diagonalization = 'david'", "diagonalization = 'cg'\n  diago_cg_maxiter = 1"),
            ("nat = 1", "nat = 1\n  nbnd = 40"),
        )
    ),
    "too_few_bands": Planted(4.1, "LiF", text=(("nat = 2", "nat = 2\n  nbnd = 1"),)),
    "fermi_not_found": Planted(
        4.1, "LiF", text=(("nat = 2", "nat = 2\n  nbnd = 5"), ("degauss = 0.02", "degauss = 0.5"))
    ),
    "no_starting_moment": Planted(3.5, settings={"nspin": 2}, text=(("  starting_magnetization(1) = 0.5\n", ""),)),
    "moment_vanished": Planted(4.2, "LiF", settings={"nspin": 2}),
    "false_bfgs": Planted(
        3.4,
        settings=VC,
        text=(
            ("conv_thr = 1e-08", "conv_thr = 1e-4"),
            ("upscale = 10", "upscale = 1"),
            ("press_conv_thr = 5", "press_conv_thr = 0.05"),
            ("etot_conv_thr = 0.001", "etot_conv_thr = 1e-8"),
            ("forc_conv_thr = 0.01", "forc_conv_thr = 1e-5"),
        ),
        also=("bfgs_failed",),  # 7.2 calls it no success
    ),
    "cell_shrank": Planted(4.4, settings=VC, text=(("cell_factor = 2", "cell_factor = 1.02"),)),
    "nstep": Planted(
        3.7, settings=VC, text=(("nstep = 40", "nstep = 1"), ("press_conv_thr = 5", "press_conv_thr = 0.1"))
    ),
    "symmetry_lost": Planted(4.3, "LiF", settings=VC, text=(("cell_dofree = 'all'", "cell_dofree = 'x'"),)),
    "no_fresh_cell": Planted(3.46, settings=VC | {"damped": True, "nosym": True}),
    "residual_stress": Planted(3.9, settings=VC, text=LOOSE),
    "residual_force": Planted(
        4.06,
        "LiF",
        -0.01,
        settings={"method": "vc-relax", "forc_conv_thr_ry_bohr": 1e-3, "press_conv_thr_kbar": 20},
        text=(
            ("etot_conv_thr = 0.001", "etot_conv_thr = 10"),
            ("forc_conv_thr = 0.001", "forc_conv_thr = 0.5"),
            ("press_conv_thr = 20", "press_conv_thr = 900"),
        ),
    ),
    "out_of_time": Planted(3.7, settings=VC, text=(("max_seconds = 600", "max_seconds = 1"),)),
    "restart_unreadable": Planted(3.7, settings=VC, text=(("max_seconds = 600", "max_seconds = 1"),), files=_lose_xml),
    "stopped_by_user": Planted(3.7, settings=VC, options={"command": _when(STARTED, "touch pw.EXIT; wait $!")}),
    "timeout": Planted(
        3.7, settings=VC, options={"command": _when(MOVED, "kill -STOP $!; sleep 900"), "timeout_s": 40}
    ),
    "killed": Planted(3.7, settings=VC, options={"command": _when(MOVED, "kill -KILL $!; wait $!")}),
    "crashed": Planted(3.7, settings=VC, options={"command": _when(STARTED, "kill -SEGV $!; wait $!")}),
    "rank_lost": Planted(3.7, settings=VC, options={"command": "mpirun -np 1 timeout -s KILL 2 pw.x"}),
    "launch_failed": Planted(options={"command": "false"}, wanted=MACHINE),
    "output_cut": Planted(output=_cut),
    "disk_full": Planted(options={"command": "env --ignore-signal=XFSZ prlimit --fsize=100000 pw.x"}),
    "out_of_memory": Planted(4.06, "LiF", options={"command": "prlimit --as=140000000 pw.x"}, wanted=REFUSED),
    "atoms_overlap": Planted(
        4.06, "LiF", text=(("0.500000000000   0.500000000000   0.500000000000", "0 0 0"),), wanted=REFUSED
    ),
    "singular_cell": Planted(text=(("K_POINTS automatic", "K_POINTS automatic\n  2 2 0 0 0 0\n!"),), wanted=REFUSED),
    "too_few_plane_waves": Planted(
        text=(("ecutwfc = 40", "ecutwfc = 1"), ("ecutrho = 320", "ecutrho = 8\n  nbnd = 60")), wanted=REFUSED
    ),
    "charge_needs_smearing": Planted(text=(("occupations = 'smearing'", "occupations = 'fixed'"),), wanted=REFUSED),
    "no_result": Planted(text=(("tstress = .true.", "tstress = .false."),), wanted=REFUSED),
    "bad_input": Planted(text=(("ibrav = 0", "ibrav = 0\n  no_such_key = 1"),), wanted=REFUSED),
    "pseudo_truncated": Planted(text=OTHER_FOLDER, before=_half_a_pseudopotential, wanted=REFUSED),
    "pseudo_missing": Planted(text=OTHER_FOLDER, before=_no_pseudopotential, wanted=REFUSED),
    "atoms_too_close": Planted(4.06, "LiF", -0.45, wanted=REFUSED),
    "volume_out_of_range": Planted(1.3, wanted=REFUSED),
    "atoms_too_far": Planted(6.6, wanted=REFUSED),
    "no_slots": Planted(options={"command": "mpirun -np 4096 pw.x"}, wanted=MACHINE),
    "scratch_unwritable": Planted(text=(("outdir = './out'", "outdir = '/proc/out'"),), wanted=MACHINE),
}
