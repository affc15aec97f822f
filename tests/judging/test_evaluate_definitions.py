"""The table of definitions, and what a row says of its bound."""

from __future__ import annotations

import json

import pytest

from crystalloop.models.crystals.properties import PROPERTIES
from crystalloop.models.judge.rows import FUNNEL_STAGES, NAN, Row, definitions, in_order


def row(key, strict, **changes) -> Row:
    return Row(**({"key": key, "seed": NAN, "strict": strict, "count": 1} | changes))


def test_every_row_says_what_both_columns_mean():
    assert all(d.title and len(d.seed) > 10 and len(d.strict) > 10 for d in definitions().values())
    assert all((d.reach is None) == (d.better == "none") for d in definitions().values())


def test_there_is_a_row_for_every_property_and_stage():
    assert {f"mae_{name}" for name in PROPERTIES} <= definitions().keys()
    assert {f"funnel_{stage}" for stage in FUNNEL_STAGES} <= definitions().keys()


@pytest.mark.parametrize(
    ("key", "strict", "met"),
    [
        ("cell_mae", 0.03, True),
        ("cell_mae", 0.031, False),
        ("exact_count", 0.93, True),
        ("exact_count", 0.92, False),
        ("coverage_90", 0.885, True),
        ("coverage_90", 0.95, False),
        ("coverage_90", 0.86, False),
        ("density_mse", 0.1, None),
        ("cell_mae", NAN, None),
    ],
)
def test_a_bound_is_kept_by_the_strict_column(key, strict, met):
    assert row(key, strict, seed=0.0).met is met


def test_rows_come_in_the_order_of_the_table():
    rows = [row("valid", 1.0), row("mae_band_gap", 1.0), row("cell_mae", 1.0)]
    assert [one.key for one in in_order(rows)] == ["cell_mae", "valid", "mae_band_gap"]


def test_what_is_no_number_is_null_in_the_json():
    plain = json.loads(json.dumps(row("cell_mae", 0.5, parts={"a": NAN}).as_json(), allow_nan=False))
    assert (plain["seed"], plain["strict"], plain["parts"]) == (None, 0.5, {"a": None})
    assert plain["definition"]["seed"] == definitions()["cell_mae"].seed
