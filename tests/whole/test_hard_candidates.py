"""A campaign of deliberately hard candidates, through the real queue, worker processes and pw.x, ends by itself."""

import time
from functools import partial

import pytest
from database_fixture import NOON
from pw_fakes import cubic
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from crystalloop.db.ledger.records import REFERENCES, CampaignRecord, CampaignState, CandidateState
from crystalloop.dft.pw.command import pw_version
from crystalloop.dft.recipe.pseudos import PseudoTable
from crystalloop.dft.work.relax_queue import RelaxQueue, open_launchpad
from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.draw.proposal import Kind, Proposal
from crystalloop.orchestrator.account.results import result_rows, trace_chain
from crystalloop.orchestrator.campaign.machine import Machine
from crystalloop.orchestrator.campaign.pw_settings import dft_settings
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.learn.training_set import Sources
from crystalloop.orchestrator.loop.contracts import Parts, now
from crystalloop.orchestrator.loop.loop import Loop
from crystalloop.orchestrator.loop.policy import Finish
from crystalloop.orchestrator.propose.cold_start import Choice
from crystalloop.orchestrator.propose.door import LedgerProposer
from crystalloop.orchestrator.run.workers import LocalWorkers, python_module
from crystalloop.orchestrator.settle.formation import Energies
from crystalloop.orchestrator.settle.hulls import settle_hulls
from crystalloop.orchestrator.show.trace import trace_lines

# Too few SCF steps for any crystal, and a spin that lithium does not keep.
SETTINGS = {"electron_maxstep": 4, "nspin": 2, "kspacing_inv_ang": 1.0, "degauss_ry": 0.03}


class Hard:
    """Proposes three crystals, of which one can be computed, and that not at once."""

    def propose(self, ask):
        collapsed = cubic("Im-3m", 1.3, ["Li"], [[0, 0, 0]])
        touching = Structure(Lattice.cubic(3.4), ["Li", "Li"], [[0, 0, 0], [0.05, 0.05, 0.05]])
        drafts = {"fcc": cubic("Fm-3m", 4.5, ["Li"], [[0, 0, 0]]), "collapsed": collapsed, "touching": touching}
        chosen = [
            (Proposal(Crystal.from_structure(structure), Kind.DECORATED, name), 1.0)
            for name, structure in drafts.items()
        ]
        return Choice((("generated", 3),), tuple(chosen))


@pytest.fixture
def campaign(tmp_path, database_name, pseudo_folder, pw_command):
    fields = {
        "name": "hard",
        "elements": ["Li"],
        "prototypes": ["rocksalt_B1"],
        "target": {"direction": "minimise"},
        "rounds": 1,
        "folder": str(tmp_path / "runs"),
        "database": {"name": database_name},
        "dft": {
            "preset": "test",
            "settings": SETTINGS,
            "pseudos": str(pseudo_folder.resolve()),
            "pw_command": f"env PROOF=1 {pw_command}",
            "scratch": str(tmp_path / "scratch"),
        },
    }
    return Campaign.model_validate(fields)


def story(store, candidate_id):
    return "\n".join(trace_lines(trace_chain(store, candidate_id)))


@pytest.mark.pw
@pytest.mark.slow
def test_a_campaign_of_hard_candidates_ends_by_itself_with_every_outcome_explained(store, mongodb_uri, campaign):
    launchpad = open_launchpad(mongodb_uri, campaign.database.name)
    table = PseudoTable.load(campaign.pseudo_folder)
    environment = {"CRYSTALLOOP_MONGODB_URI": mongodb_uri}
    command = python_module("crystalloop.dft.work.worker", *Machine().worker_options(campaign))
    energies = Energies(dft_settings(campaign), table, pw_version(campaign.dft.pw_command))
    parts = Parts(
        store=store,
        queue=RelaxQueue(store, launchpad),
        workers=LocalWorkers(command, 1, campaign.run_folder / "logs", environment),
        proposer=LedgerProposer("hard", campaign.target, Hard(), energies, Sources(), now),
        trainer=None,
        energies=energies,
        settle_hulls=partial(settle_hulls, store, campaign),
        meanwhile=lambda: None,
        now=now,
        sleep=time.sleep,
        tell=lambda event: None,
    )
    times = {"created_at": NOON, "updated_at": NOON}
    record = CampaignRecord(id="hard", spec={}, spec_digest="d", folder="f", state=CampaignState.ACTIVE, **times)
    store.start_campaign(record)
    assert Loop(campaign, parts).run() == Finish("all 1 rounds are done")
    launchpad.connection.close()

    by_name = {c.prototype: c for c in store.candidates("hard")}
    fcc = by_name["fcc"]
    outcomes = [attempt.outcome for attempt in fcc.attempts]
    assert fcc.state is CandidateState.RELAXED
    assert outcomes[0] == "scf_not_converged"
    assert outcomes[-1] == "converged"
    assert "moment_vanished" in outcomes
    assert abs(fcc.e_f) < 0.3  # with k points as coarse as these; it is fcc against bcc lithium
    told = story(store, fcc.id)
    for words in (
        "scf_not_converged",
        "electron_maxstep 4 -> ",
        "nspin 2 -> 1",
        "converged",
        "x Li: ref-Li",
    ):
        assert words in told

    for name, words in {"collapsed": "cubic angstrom per atom", "touching": "angstrom apart"}.items():
        candidate = by_name[name]
        assert candidate.state is CandidateState.GAVE_UP
        assert sum(attempt.cpu_s for attempt in candidate.attempts) == 0
        assert words in candidate.reason
        assert words in story(store, candidate.id)
        assert "reject the structure" in story(store, candidate.id)

    (reference,) = store.candidates(REFERENCES)
    assert reference.state is CandidateState.RELAXED
    assert settle_hulls(store, campaign).above[fcc.id].reason == "no hull: an element"
    assert "no hull: an element" in story(store, fcc.id)
    assert len(result_rows(store.candidates("hard"))) == 3
    assert list((campaign.run_folder.parent / "scratch").iterdir()) == []
