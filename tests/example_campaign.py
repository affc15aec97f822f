"""A finished small campaign in memory, for the tests of results, accounting and report: three rounds, two models."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from crystalloop.db.ledger.campaigns import CampaignRecord, CampaignState, ModelVersion, NetworkRecord, Round, Span
from crystalloop.db.ledger.memory import MemoryStore
from crystalloop.db.ledger.records import (
    REFERENCES,
    Attempt,
    Candidate,
    CandidateState,
    CrystalDoc,
    Origin,
    OriginKind,
    Relaxation,
)
from crystalloop.orchestrator.campaign.spec import Campaign

NAME = "first"
START = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
ENERGY = {"Li": -7.5, "Na": -49.0, "Mg": -62.0, "O": -430.0, "F": -660.0, "Cl": -410.0}
ROCKSALT, CSCL = "rocksalt_B1", "CsCl_B2"


def store_of(record, candidates=(), rounds=(), versions=()) -> MemoryStore:
    """A store that holds this and nothing else."""
    store = MemoryStore()
    if record is not None:
        store.start_campaign(record)
    assert len(store.add_candidates(candidates)) == len(candidates)
    for round_ in rounds:
        store.put_round(round_)
    for version in versions:
        store.add_model_version(version)
    return store


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def campaign(**changes) -> Campaign:
    fields = {
        "name": NAME,
        "elements": ["Li", "Na", "Mg", "O", "F", "Cl"],
        "prototypes": [ROCKSALT, CSCL],
        "target": {"property": "formation_energy_per_atom", "maximum": -2.5},
        "database": {"uri": None},
    }
    return Campaign.model_validate(fields | changes)


def crystal(species, a=4.0) -> CrystalDoc:
    lattice = ((a, 0.0, 0.0), (0.0, a, 0.0), (0.0, 0.0, a))
    return CrystalDoc(lattice=lattice, species=tuple(species), frac_coords=((0.0,) * 3, (0.5,) * 3)[: len(species)])


def attempt(number, start, wall, outcome="converged", **more) -> Attempt:
    return Attempt(
        number=number, started_at=at(start), outcome=outcome, cpu_s=0.95 * wall, wall_s=wall, worker="w-1", **more
    )


def relaxation(doc, e_per_atom, a, spacegroup=225, **more) -> Relaxation:
    fields = {
        "crystal": doc,
        "conventional": doc,
        "energy_ev": e_per_atom * len(doc.species),
        "energy_per_atom_ev": e_per_atom,
        "a_ang": a,
        "spacegroup": spacegroup,
        "volume_per_atom_ang3": a**3 / 8,
        "pressure_kbar": 0.12,
        "fmax_ev_ang": 0.0004,
        "steps": 7,
        "bond_change_percent": 2.4,
        "cell_change_percent": -1.75,
        "cpu_s": 20.0,
        "wall_s": 21.0,
        "pw_version": "6.7",
        "pseudos": {element: f"md5-{element}" for element in doc.species},
    }
    return Relaxation(**(fields | more))


def reference(element, preset="fast", shift=0.0, start=5.0) -> Candidate:
    doc = crystal([element])
    return Candidate(
        id=f"ref-{element}-{preset}",
        campaign=REFERENCES,
        kind="reference",
        round=0,
        key=f"key-{element}-{preset}",
        formula=element,
        prototype=None,
        crystal=doc,
        settings={"preset": preset, "d2": False},
        origin=Origin(kind=OriginKind.ELEMENT),
        state=CandidateState.RELAXED,
        attempts=(attempt(1, start, 4.0),),
        relaxation=relaxation(doc, ENERGY[element] + shift, 3.0, 229),
        created_at=START,
        updated_at=at(start),
    )


def candidate(name, round_, elements, e_f=None, predicted=None, start=20.0, wall=20.0, **more) -> Candidate:
    doc = crystal(elements)
    formula = "".join(elements)
    mean = sum(ENERGY[element] for element in elements) / len(elements)
    version = f"{NAME}-v{round_ - 1}" if round_ > 1 else None
    fields = {
        "id": f"{NAME}-{round_}-{name}",
        "campaign": NAME,
        "round": round_,
        "key": f"key-{round_}-{name}",
        "formula": formula,
        "prototype": ROCKSALT,
        "crystal": doc,
        "settings": {"preset": "fast", "d2": False},
        "origin": Origin(
            kind=OriginKind.AROUND if version else OriginKind.DECORATED,
            model_version=version,
            bases=("LiF:rocksalt_B1",) if version else (),
            latent=(0.5, -1.25, 0.75) if version else None,
            condition=(0.0, 1.0) if version else None,
            seed=17,
        ),
        "passed": ("generated", "atoms found", "valid distances"),
        "predicted": {"formation_energy_per_atom": predicted, "band_gap": None},
        "e_f_predicted": predicted,
        "score": 0.8,
        "state": CandidateState.RELAXED if e_f is not None else CandidateState.GAVE_UP,
        "attempts": (attempt(1, start, wall),),
        "relaxation": relaxation(doc, mean + e_f, 4.1 + 0.2 * len(name)) if e_f is not None else None,
        "e_f": e_f,
        "created_at": START,
        "updated_at": at(start + wall),
    }
    return Candidate(**(fields | more))


def version(number, round_, trained_on, parent=None) -> ModelVersion:
    networks = {
        name: NetworkRecord(
            folder=f"models/v{number}/{name}",
            sha256=f"{number}{name}" + "0" * 50,
            metrics={"loss": 0.31 / number, "mae_ev_per_atom": 0.2 / number},
            samples=60,
            train_s=18.0,
        )
        for name in ("unet", "vae", "cgcnn")
    }
    return ModelVersion(
        id=f"{NAME}-v{number}",
        campaign=NAME,
        number=number,
        round=round_,
        parent=parent,
        networks=networks,
        trained_on=tuple(trained_on),
        labelled=len(trained_on),
        unlabelled=60 - len(trained_on),
        data_digest=f"digest-{number}",
        created_at=at(100.0 * number),
    )


def candidates() -> tuple[Candidate, ...]:
    twice = (
        attempt(1, 205, 12.0, "SCF_NOT_CONVERGED", detail="100 iterations", correction="mixing_beta 0.7 -> 0.3"),
        attempt(2, 218, 25.0),
    )
    failed = (attempt(1, 66, 6.0, "SCF_NOT_CONVERGED", detail="100 iterations"),)
    return (
        candidate("LiF", 1, ["Li", "F"], -3.05, start=20, wall=20),
        candidate("MgO", 1, ["Mg", "O"], -2.60, start=20, wall=24),
        candidate("NaCl", 1, ["Na", "Cl"], -1.95, start=40, wall=26),
        candidate("LiCl", 1, ["Li", "Cl"], -1.90, start=44, wall=18, prototype=CSCL),
        candidate("LiO", 1, ["Li", "O"], reason="SCF_NOT_CONVERGED: no correction is left", attempts=failed),
        candidate("NaF", 2, ["Na", "F"], -2.75, -2.20, start=205, wall=25, attempts=twice),
        candidate("MgF", 2, ["Mg", "F"], -2.10, -2.70, start=206, wall=30),
        candidate("NaO", 2, ["Na", "O"], None, -1.10, state=CandidateState.PROPOSED, attempts=(), score=None),
        candidate("LiF2", 3, ["Li", "F"], -2.95, -2.85, start=330, wall=28, prototype=CSCL),
        candidate("NaF2", 3, ["Na", "F"], -2.55, -2.65, start=331, wall=30, prototype=None),
    )


def rounds() -> tuple[Round, ...]:
    counts = {1: (42, 40, 36), 2: (64, 51, 33), 3: (64, 58, 47)}
    made = []
    for number, (generated, found, valid) in counts.items():
        chosen = [c.id for c in candidates() if c.round == number and c.state is not CandidateState.PROPOSED]
        made.append(
            Round(
                id=f"{NAME}/{number}",
                campaign=NAME,
                number=number,
                model_version=f"{NAME}-v{number - 1}" if number > 1 else None,
                funnel=(("generated", generated), ("atoms found", found), ("valid distances", valid), ("unique", 9)),
                chosen=tuple(chosen),
                started_at=at(100.0 * number - 85),
                finished_at=at(100.0 * number),
            )
        )
    return tuple(made)


def versions() -> tuple[ModelVersion, ...]:
    first = [c.id for c in candidates() if c.round == 1 and c.e_f is not None]
    second = first + [c.id for c in candidates() if c.round == 2 and c.e_f is not None]
    return version(1, 1, first), version(2, 2, second, f"{NAME}-v1")


def spans() -> tuple[Span, ...]:
    def span(what, round_, start, end, busy=None):
        return Span(what=what, round=round_, started_at=at(start), finished_at=at(end), busy_s=busy)

    return (
        span("ray", 0, 0, 4),
        span("generate", 1, 4, 5),
        span("dft", 1, 5, 73),
        span("train", 1, 74, 134, 40.0),
        # The run was killed here and started again at 200.
        span("generate", 2, 200, 205),
        span("dft", 2, 205, 244),
        span("train", 2, 245, 300, 38.0),
        span("generate", 3, 300, 329),
        span("dft", 3, 329, 362),
    )


def record(**changes) -> CampaignRecord:
    fields = {
        "id": NAME,
        "spec": campaign().spec(),
        "spec_digest": "digest",
        "folder": "runs/first",
        "state": CampaignState.FINISHED,
        "outcome": "all 3 rounds are done",
        "spans": spans(),
        "created_at": START,
        "updated_at": at(363),
    }
    return CampaignRecord(**(fields | changes))


def example_store() -> MemoryStore:
    references = [reference(element) for element in ENERGY]
    other_preset = [reference(element, "test", shift=0.4) for element in ENERGY]
    return store_of(record(), (*candidates(), *other_preset, *references), rounds(), versions())


def empty_store() -> MemoryStore:
    return store_of(record(spans=(), state=CampaignState.ACTIVE, outcome="", updated_at=START))
