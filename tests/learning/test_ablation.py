"""The ablation's own arithmetic: which crystals, which widths, how outputs of several seeds are put together."""

from __future__ import annotations

import importlib
import json
import math
from pathlib import Path

import numpy as np
import pytest

from crystalloop.models.crystals.crystal import Crystal


@pytest.fixture
def ablation(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "bench"))
    return importlib.import_module("ablation")


def output(seed: int, mse: float, **changed: object) -> dict:
    rows = {"DFC, s = r": {"paper": {}, "runs": [{"seed": seed, "mse": mse, "reasons": {}}], "mean": {"mse": mse}}}
    return {"rows": rows, "train": 3, "settings": {"n": 16}, "wall_s": 2.0, "cpu_s": 1.0, **changed}


def test_outputs_of_two_seeds_make_one_with_their_mean(ablation, tmp_path):
    paths = [tmp_path / "one.json", tmp_path / "two.json"]
    for path, made in zip(paths, (output(1, 0.4), output(0, 0.2)), strict=True):
        path.write_text(json.dumps(made))
    found = ablation.main(["--join", *map(str, paths)])
    row = found["rows"]["DFC, s = r"]
    assert [run["seed"] for run in row["runs"]] == [0, 1]
    assert row["mean"] == {"mse": pytest.approx(0.3)}
    assert (found["wall_s"], found["cpu_s"]) == (4.0, 2.0)


@pytest.mark.parametrize("changed", [{"settings": {"n": 32}}, {"train": 4}], ids=["settings", "crystals"])
def test_outputs_of_other_settings_are_not_joined(ablation, changed):
    with pytest.raises(SystemExit, match="other settings or crystals"):
        ablation.joined([output(0, 0.2), output(1, 0.4, **changed)])


def test_a_row_that_could_not_be_read_has_no_mean(ablation):
    assert math.isnan(ablation.mean([]))
    assert math.isnan(ablation.mean_of([{"emd_ang": 0.1}, {"emd_ang": float("nan")}])["emd_ang"])


def test_an_atom_read_across_the_border_is_near_in_the_periodic_distance(ablation):
    lattice, numbers = 4.0 * np.eye(3), np.array([11])
    true, found = (Crystal(lattice, numbers, np.array([[x, 0.0, 0.0]])) for x in (0.01, 0.99))
    assert ablation.emd_periodic_ang(true, found) == pytest.approx(0.08)


def test_all_rows_are_drawn_with_scaled_widths(ablation):
    args = ablation.parse(["--data", "crystals.jsonl", "--scale", "0.4"])
    drawn = [ablation.widths(args, width) for _, width in ablation.ROWS.values()]
    assert [voxels.constant_width_ang for voxels in drawn] == [0.4, 0.4, None]
    assert drawn[2].width_scale == 0.4
