"""`crystalloop evaluate` from end to end on untrained networks: JSON alone on stdout, and a sentence for every mistake."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tiny_networks import SAVES_WEIGHTS, salts, scrambled, tiny_cgcnn, tiny_unet, tiny_vae
from typer.testing import CliRunner

from crystalloop.models.crystals.elements import symbol_of
from crystalloop.models.judge.rows import definitions
from crystalloop.models.nets.checkpoint import save
from crystalloop.orchestrator.cli.app import app

pytestmark = [SAVES_WEIGHTS, pytest.mark.slow]
EDGES = tuple(np.linspace(-3.0, -0.5, 9))


def record(number, crystal, split, **changes):
    fields = {
        "id": f"salt-{number}",
        "class": "binary_AB",
        "a": float(crystal.lengths_ang[0]),
        "species": [symbol_of(int(z)) for z in crystal.numbers],
        "frac_coords": crystal.frac_coords.tolist(),
        "formation_energy_per_atom": -3.0 + 0.2 * number,
        "split": split,
    }
    return json.dumps(fields | changes) + "\n"


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nets")
    unet = scrambled(tiny_unet())
    kernel, bias = unet.model.get_layer("occupancy").get_weights()
    unet.model.get_layer("occupancy").set_weights([kernel, bias + 1.0])  # so that it finds something
    for name, network in (
        ("vae", scrambled(tiny_vae(decile_edges_ev=EDGES))),
        ("unet", unet),
        ("cgcnn", tiny_cgcnn()),
    ):
        save(folder / name, network, data_digest="none")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "salts.jsonl"
    crystals = salts()
    parts = ["test" if i % 6 < 3 else "train" for i in range(len(crystals))]  # both structures of a formula together
    path.write_text("".join(record(i, c, p) for i, (c, p) in enumerate(zip(crystals, parts, strict=True))))
    return path


def call(*arguments):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


@pytest.fixture(scope="module")
def table(nets, data, tmp_path_factory):
    page = tmp_path_factory.mktemp("page") / "e.html"
    done = call(nets, "--data", data, "--limit", 4, "--json", "--html", page)
    assert done.exit_code == 0, f"{done.output}{done.exception!r}"
    assert page.is_file()
    return json.loads(done.stdout)


def test_json_is_the_whole_table_and_nothing_else(table):
    expected = {key for key in definitions() if not key.startswith("mae_")} | {"mae_formation_energy_per_atom"}
    assert {row["key"] for row in table["rows"]} == expected
    assert (table["split"], table["limit"]) == ("test", 4)
    assert table["counts"] == {"crystals": 4, "known_crystals": 6, "property_crystals": 4}


def test_the_same_seed_gives_the_same_table(nets, data, table):
    again = json.loads(call(nets, "--data", data, "--limit", 4, "--json").stdout)
    timed = {"candidates_per_s", "cpu_ms"}
    assert [r for r in again["rows"] if r["key"] not in timed] == [r for r in table["rows"] if r["key"] not in timed]


def test_the_table_is_shown_with_both_columns(nets, data):
    done = call(nets, "--data", data, "--limit", 2)
    assert done.exit_code == 0
    assert "strict" in done.stdout
    assert "site positions" in done.stdout


def test_rows_of_an_absent_network_are_left_out_and_said_so(nets, data, tmp_path):
    (tmp_path / "unet").symlink_to(nets / "unet")
    found = json.loads(call(tmp_path, "--data", data, "--json").stdout)
    assert {row["key"] for row in found["rows"]} == {"voxel_recall_true"}
    assert [note.split(":")[0] for note in found["notes"]] == ["no VAE", "no CGCNN"]


def refused(*arguments):
    done = call(*arguments)
    assert done.stdout == ""
    return done.exit_code, " ".join(done.stderr.split())


def test_a_folder_without_networks_is_a_sentence(data, tmp_path):
    code, said = refused(tmp_path, "--data", data, "--json")
    assert code == 2
    assert "holds none of vae, unet, cgcnn" in said


def test_networks_of_two_grids_are_a_sentence(nets, data, tmp_path):
    (tmp_path / "vae").symlink_to(nets / "vae")
    save(tmp_path / "unet", tiny_unet(n=16), data_digest="none")
    code, said = refused(tmp_path, "--data", data)
    assert code == 1
    assert "16^3 voxels, the maps have 8^3" in said


def test_a_part_without_crystals_is_a_sentence_with_the_counts(nets, data):
    code, said = refused(nets, "--data", data, "--split", "val")
    assert code == 2
    assert "val part" in said
    assert "'test': 6" in said


def test_a_part_that_does_not_exist_is_a_sentence(nets, data):
    code, said = refused(nets, "--data", data, "--split", "hidden")
    assert code == 2
    assert "train, val, test" in said


def test_cells_that_are_not_cubic_are_refused_by_a_cubic_network(nets, tmp_path):
    crystal, other = salts()[:2]
    path = tmp_path / "long.jsonl"
    path.write_text(record(0, crystal, "test", lattice=[5, 5, 6, 90, 90, 90]) + record(1, other, "train"))
    code, said = refused(nets, "--data", path)
    assert code == 2
    assert "trained on cubic cells alone" in said
    assert "edges 5.000 5.000 6.000" in said


def test_a_missing_file_is_a_sentence(nets, tmp_path):
    code, said = refused(nets, "--data", tmp_path / "none.jsonl")
    assert code == 2
    assert "no such file" in said
