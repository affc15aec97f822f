"""The page of an evaluation: whole, without the net, escaped; and the lines that its strips follow."""

from __future__ import annotations

import re
import warnings
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from cubic_crystals import decorated

from crystalloop.models.crystals.properties import PROPERTIES
from crystalloop.models.crystals.prototypes import Prototype
from crystalloop.models.data.corpus import Corpus
from crystalloop.models.judge.evaluate import Evaluation
from crystalloop.models.judge.inputs import LoadedNetworks, Settings, any_element
from crystalloop.models.judge.interpolation import Strip, pairs
from crystalloop.models.judge.properties import Predicted
from crystalloop.models.judge.rows import NAN, Row
from crystalloop.orchestrator.show import evaluation_figures as figures
from crystalloop.orchestrator.show.evaluation_page import write_page
from crystalloop.orchestrator.show.number_text import value_text
from crystalloop.orchestrator.show.page import LIGHT

RNG = np.random.default_rng(2)


def corpus(crystals, groups) -> Corpus:
    size = len(crystals)
    return Corpus(
        tuple(map(str, range(size))),
        tuple(crystal.formula for crystal in crystals),
        tuple(crystals),
        np.full((size, len(PROPERTIES)), np.nan),
        np.array(["test"] * size),
        tuple(groups),
    )


def property_table(count=20):
    labels = np.full((count, len(PROPERTIES)), np.nan)
    labels[:, 0] = RNG.normal(size=count)
    made = labels + 0.1
    return Predicted(made, made - 0.2, made + 0.2), labels


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    predicted, labels = property_table()
    found = Evaluation(
        settings=Settings(Path("nets/<b>"), (Path("salts.jsonl"),)),
        rows=(Row("cell_mae", 0.02, 0.025, 20, 1, {"a": 0.02}), Row("site_error", 0.09, 1.5, 20, 1)),
        notes=("no VAE & no <UNet>",),
        failures={"nothing found": 1},
        counts={"property_crystals": 20},
        networks=LoadedNetworks(),
        predicted=predicted,
        labels=labels,
    )
    path = write_page(found, tmp_path_factory.mktemp("page") / "new" / "e.html", datetime(2026, 1, 2, tzinfo=UTC))
    return path.read_text(encoding="utf-8")


def test_the_page_needs_nothing_from_the_net_and_runs_nothing(page):
    assert "<script" not in page
    assert re.findall(r'(?:src|href|srcset)="(?!data:image/png)[^"]*"', page) == []


def test_every_row_has_both_columns_its_definitions_and_whether_its_bound_is_met(page):
    text = " ".join(page.split())
    assert "0.025" in text
    assert ">met<" in text
    assert ">not met<" in text
    assert "Earth mover" in text
    assert "20 (1 failed)" in text


def test_what_the_user_wrote_is_escaped(page):
    assert "nets/&lt;b&gt;" in page
    assert "no VAE &amp; no &lt;UNet&gt;" in page
    assert "<b>" not in page


def test_a_figure_is_there_twice_with_words_instead(page):
    assert page.count("data:image/png") == 2
    assert 'alt="Predicted against true' in page


def test_only_properties_with_labels_get_a_panel():
    predicted, labels = property_table()
    drawn = [axes for axes in figures.parity_figure(predicted, labels, LIGHT).axes if axes.axison]
    assert [axes.get_title(loc="left") for axes in drawn] == ["formation energy"]
    assert figures.parity_figure(predicted, np.full_like(labels, np.nan), LIGHT) is None


def test_a_strip_names_what_was_read_and_what_was_not():
    strip = Strip(
        "CeCrO3", "YbCrO3", RNG.random((7, 8, 8)), ("CeCrO3", "", "", "", "", "", "YbCrO3"), (4.0, *[NAN] * 5, 3.9)
    )
    labels = [axes.get_xlabel() for axes in figures.strips_figure([strip], LIGHT).axes]
    assert labels[0] == "CeCrO$_{3}$\n4.00 Å"
    assert labels[1].strip() == "–"
    assert figures.strips_figure([], LIGHT) is None


def test_a_noble_gas_is_no_warning_and_everything_else_still_is():
    with any_element():
        warnings.warn("No Pauling electronegativity for He. Setting to NaN.", UserWarning, stacklevel=1)
        with pytest.warns(UserWarning, match="something else"):
            warnings.warn("something else", UserWarning, stacklevel=1)


def test_lines_join_read_crystals_that_differ_in_one_element_by_the_most():
    kinds = [("Ce", "Cr", "O"), ("Yb", "Cr", "O"), ("Lu", "Cr", "O"), ("La", "Cr", "O"), ("U", "Fe", "F")]
    crystals = [decorated(Prototype.PEROVSKITE, elements) for elements in kinds]
    crystals.append(decorated(Prototype.ROCKSALT, ("Na", "Cl")))
    groups = ["perovskite"] * 5 + ["binary"]
    judged = [SimpleNamespace(failure="nothing found" if i == 2 else None) for i in range(6)]
    # Lu was not read; of the others La (57) and Yb (70) are farthest apart; UFeF3 differs in more than one.
    assert list(pairs(corpus(crystals, groups), judged)) == [(1, 3)]


def test_the_latent_map_shows_classes_and_leaves_unknown_energies_grey():
    energies = np.array([-1.0, NAN, -2.0])
    figure = figures.latent_figure(RNG.random((3, 2)).astype(np.float32), ["a_b", "", "a_b"], energies, LIGHT)
    texts = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert texts == ["a b", "no class"]


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.9312, "share", "93.1 %"),
        (NAN, "A", "–"),
        (0.02345, "A", "0.0234"),
        (16.0, "dimensions", "16"),
        (1.2345, "A", "1.234"),
    ],
)
def test_values_are_written_with_three_digits(value, unit, text):
    assert value_text(value, unit) == text
