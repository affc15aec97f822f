"""Where candidates stand: the light read of the waiting loop says the same as the whole records."""

from database_fixture import NOON, new_candidate, new_relaxation

from crystalloop.db.ledger.records import Attempt, CandidateState
from crystalloop.db.ledger.standing import Standing


def test_standings_say_what_the_records_say_in_the_order_asked_for(store):
    store.add_candidates([new_candidate(number) for number in range(4)])
    ids = [new_candidate(number).id for number in range(4)]
    store.queue(ids[:3], NOON)
    for one in ids[:2]:
        lease = store.claim(one, "w", NOON, 60).lease
        store.add_attempt(one, lease.token, Attempt(number=1, started_at=NOON, outcome="x", cpu_s=1.5), NOON)
        store.add_attempt(one, lease.token, Attempt(number=2, started_at=NOON, outcome="x", cpu_s=2.0), NOON)
    store.record_relaxation(ids[0], store.candidate(ids[0]).lease.token, new_relaxation(), NOON)
    standings = store.standings([ids[2], "nobody", *ids[:2], ids[3]])
    assert [one.id for one in standings] == [ids[2], ids[0], ids[1], ids[3]]
    assert standings == tuple(Standing.of(store.candidate(one.id)) for one in standings)
    assert (standings[1].a_ang, standings[1].steps, standings[1].cpu_s) == (4.06, 4, 3.5)
    assert (standings[2].state, standings[2].lease_ends > NOON) == (CandidateState.RUNNING, True)
    assert [one.is_unsettled for one in standings] == [False, True, False, False]
    store.set_formation_energy(ids[0], -1.0, None, NOON)
    assert [one.is_labelled for one in store.standings(ids)] == [True, False, False, False]


def test_nobody_stands_nowhere(store):
    assert store.standings([]) == ()
