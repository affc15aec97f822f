import re
from html.parser import HTMLParser

import pytest
from example_campaign import (
    at,
    campaign,
    candidate,
    candidates,
    empty_store,
    example_store,
    record,
    rounds,
    store_of,
)

from crystalloop.db.ledger.records import CandidateState
from crystalloop.orchestrator.account.rounds import round_results
from crystalloop.orchestrator.show import figures
from crystalloop.orchestrator.show.number_text import NONE, decimals, duration
from crystalloop.orchestrator.show.page import DARK, LIGHT, formula_html, png, spacegroup
from crystalloop.orchestrator.show.report_page import draw, gather, write_report

pytestmark = pytest.mark.slow

VOID = {"meta", "img", "source", "br"}
ATTACK = '<script>alert("x")</script>'


class Page(HTMLParser):
    """Checks that elements nest, and collects tags and text."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.text = [], [], []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    folder = tmp_path_factory.mktemp("campaign")
    return write_report(example_store(), campaign(), folder, at(400))


@pytest.fixture(scope="module")
def page(full):
    return Page(full.read_text(encoding="utf-8"))


def html_of(store, tmp_path, wanted=None):
    return write_report(store, wanted or campaign(), tmp_path, at(400)).read_text(encoding="utf-8")


def text_of(html):
    return re.sub(r"\s+", " ", " ".join(Page(html).text))


def test_the_page_needs_nothing_from_outside(full, page):
    html = full.read_text(encoding="utf-8")
    assert not re.search(r"https?://", html)
    assert not [tag for tag, _ in page.tags if tag in {"script", "link", "iframe", "object"}]
    sources = [attrs.get("src", attrs.get("srcset")) for tag, attrs in page.tags if tag in {"img", "source"}]
    assert len(sources) == 8
    assert all(source.startswith("data:image/png;base64,iVBORw0KGgo") for source in sources)


def test_the_figures_are_files_too(full):
    images = sorted(path.name for path in (full.parent / "figures").iterdir())
    assert images == ["funnel.png", "hits.png", "parity.png", "time.png"]
    assert all((full.parent / "figures" / name).read_bytes().startswith(b"\x89PNG") for name in images)


def test_every_computed_candidate_has_a_row_and_no_other(page):
    text = " ".join(page.text)
    for known in candidates():
        assert (known.id in text) == (known.state is not CandidateState.PROPOSED)
    assert "SCF_NOT_CONVERGED: no correction is left" in text
    assert "225 Fm-3m" in text


def test_pictures_say_in_words_what_they_show(page):
    alts = [attrs["alt"] for tag, attrs in page.tags if tag == "img"]
    assert "round 1: generated 42, atoms found 40" in alts[0]
    assert "round 2: 1 hits of 2 computed" in alts[1]
    assert "mean absolute error 0.575 eV/atom, n 2" in alts[2]
    assert "pw.x 125 s" in alts[3]


def test_the_summary_says_what_was_asked_and_found(page):
    text = re.sub(r"\s+", " ", " ".join(page.text))
    assert "formation energy per atom at most −2.5 eV/atom" in text
    assert "In 3 rounds, 9 crystals went to pw.x: 8 relaxed, 1 gave up; 5 are hits." in text
    assert "The best is LiF (rocksalt_B1) of round 1 with −3.050 eV/atom." in text
    assert "The campaign is finished: all 3 rounds are done." in text


def test_the_page_says_against_which_hull_and_how_well_that_is_known(tmp_path):
    store = example_store()
    tied = "mp.json.gz, tied to pw.x by 7 common compounds"
    assert store.set_above_hull("first-2-NaF", 0.1234, None, tied, 0.034)
    text = text_of(html_of(store, tmp_path))
    assert f"1 above the hull of {tied}." in text
    assert "0.123 ± 0.034" in text


def test_two_reports_of_the_same_state_are_equal(full, tmp_path):
    again = write_report(example_store(), campaign(), tmp_path, at(400))
    assert again.read_bytes() == full.read_bytes()


def test_only_the_date_differs_later(full, tmp_path):
    later = write_report(example_store(), campaign(), tmp_path, at(90000)).read_text(encoding="utf-8").splitlines()
    lines = full.read_text(encoding="utf-8").splitlines()
    assert [b for a, b in zip(lines, later, strict=True) if a != b] == [
        '<p class="date">Campaign report of 2026-11-22 10:00 UTC</p>'
    ]


def test_names_from_files_cannot_inject_markup(tmp_path):
    bad = candidate("NaF", 1, ["Na", "F"], -2.75, formula=ATTACK, prototype=ATTACK, reason=ATTACK)
    origin = bad.origin.model_copy(update={"bases": (ATTACK,)})
    bad = bad.model_copy(update={"origin": origin})
    only = rounds()[0].model_copy(update={"chosen": (bad.id,), "funnel": ((ATTACK, 3),)})
    html = html_of(store_of(record(outcome=ATTACK), [bad], [only]), tmp_path)
    assert "<script" not in html
    assert html.count("&lt;script") >= 6
    assert Page(html)


def test_a_campaign_that_has_not_started_gives_a_readable_page(tmp_path):
    for store in (empty_store(), store_of(None)):
        text = text_of(html_of(store, tmp_path))
        for sentence in ("Nothing was computed yet", "No model was trained yet", "No round was proposed yet"):
            assert sentence in text
        assert "None" not in text
    assert list((tmp_path / "figures").iterdir()) == []


def test_a_round_where_nothing_relaxed_gives_a_readable_page(tmp_path):
    failed = [c for c in candidates() if c.state is CandidateState.GAVE_UP]
    only = rounds()[0].model_copy(update={"chosen": tuple(c.id for c in failed)})
    text = text_of(html_of(store_of(record(), failed, [only]), tmp_path))
    assert "1 crystal went to pw.x: 0 relaxed, 1 gave up; 0 are hits" in text
    assert "predictions begin with the first model" in text


def test_a_run_under_way_says_what_is_not_finished(tmp_path):
    running = candidate("LiF", 1, ["Li", "F"], state=CandidateState.RUNNING, attempts=())
    only = rounds()[0].model_copy(update={"chosen": (running.id,), "finished_at": None})
    text = text_of(html_of(store_of(record(outcome=""), [running], [only]), tmp_path))
    assert "0 relaxed, 0 gave up, 1 not finished" in text
    assert "running" in text


def test_a_direction_is_put_into_words(tmp_path):
    wanted = campaign(target={"property": "formation_energy_per_atom", "direction": "minimise"})
    text = text_of(html_of(example_store(), tmp_path, wanted))
    assert "searched for a formation energy per atom as low as possible" in text


def test_many_rounds_still_make_figures():
    template = rounds()[1]
    many = [template.model_copy(update={"number": n, "id": f"first/{n}"}) for n in range(1, 16)]
    results = round_results(campaign().target, candidates(), many)
    pairs = {result.number: [(-1.0, -1.1), (-2.0, -1.8)] for result in results}
    for theme in (LIGHT, DARK):
        for figure in (
            figures.funnel_figure(results, theme),
            figures.hits_figure(results, theme),
            figures.parity_figure(pairs, results, theme),
        ):
            assert png(figure).startswith(b"\x89PNG")
    assert len(set(map(str, figures.round_colours(results, LIGHT).values()))) == 15


def test_the_drawn_figures_are_those_with_something_in_them():
    assert list(draw(gather(example_store(), campaign()))) == ["funnel", "hits", "parity", "time"]
    assert draw(gather(empty_store(), campaign())) == {}


def test_references_made_with_other_settings_are_not_the_campaigns():
    references = gather(example_store(), campaign()).references
    assert sorted(r.id for r in references) == [f"ref-{e}-fast" for e in ("Cl", "F", "Li", "Mg", "Na", "O")]
    assert len(gather(store_of(record(), references), campaign()).references) == 6


def test_values_are_written_for_readers():
    assert decimals(-1.2345, 2) == "−1.23"
    assert decimals(-0.0004, 2) == "0.00"
    assert decimals(None, 2) == decimals(float("nan"), 2) == NONE
    assert (duration(59.6), duration(300), duration(9000)) == ("60 s", "5.0 min", "2.5 h")
    assert formula_html("Mg3N2") == "Mg<sub>3</sub>N<sub>2</sub>"
    assert formula_html("<b>2") == "&lt;b&gt;2"
    assert (spacegroup(225), spacegroup(166), spacegroup(None)) == ("225 Fm-3m", "166 R-3m", NONE)
