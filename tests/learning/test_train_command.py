"""crystalloop train: what it writes, what it keeps when repeated, and what it refuses before the first step."""

from __future__ import annotations

import io
import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from crystal_files import row_of, salt_rows, tiny_request, write_rows
from rich.console import Console
from tiny_networks import SAVES_WEIGHTS, salts
from typer.testing import CliRunner

from crystalloop.models.data.corpus import read_corpus
from crystalloop.models.data.corpus_file import NAME, load_corpus, save_corpus
from crystalloop.models.data.files import DataError
from crystalloop.models.nets.checkpoint import read_card
from crystalloop.orchestrator.cli.app import app
from crystalloop.orchestrator.learn.inputs import (
    TrainInputError,
    check_folder,
    parse_epochs,
    read_inputs,
    training_part,
)
from crystalloop.orchestrator.learn.train_files import RECORD, make_jobs, train_networks
from crystalloop.orchestrator.show.progress import describe
from crystalloop.orchestrator.show.tables import show_record

NETWORKS = ("unet", "vae", "cgcnn")


def quiet(sentence):
    pass


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The request and the record of a training of the UNet alone, then of UNet and VAE into the same folder."""
    folder = tmp_path_factory.mktemp("nets")
    data = write_rows(folder / "salts.jsonl", salt_rows())
    first = train_networks(tiny_request(folder / "out", data, networks=("unet",)), "first", quiet)
    request = tiny_request(folder / "out", data, networks=("unet", "vae"))
    heard: list[str] = []
    return request, first, train_networks(request, "second", heard.append), heard


@pytest.mark.slow
@SAVES_WEIGHTS
def test_training_leaves_networks_their_crystals_and_a_record(trained):
    request, _, record, _ = trained
    assert {path.name for path in request.folder.iterdir()} >= {"unet", "vae", NAME, RECORD}
    assert json.loads((request.folder / RECORD).read_text()) == record
    assert record["command"] == "second"
    assert record["maps"]["crystals"] == {"train": 8, "val": 2, "test": 2}
    assert record["trained_on"] == {"unet": 8, "vae": 8}
    for network in ("unet", "vae"):
        row = record["networks"][network]
        assert (row["crystals"], row["steps"]) == (8, {"unet": 2, "vae": 1}[network])
        assert row["cpu_s"] > 0
        assert row["peak_memory_mb"] > 50
        assert all(np.isfinite(value) for value in row["validation"].values())
    assert Counter(load_corpus(request.folder / NAME).split.tolist()) == {"train": 8}
    assert len(record["files"][0]["sha256"]) == 64


@pytest.mark.slow
@SAVES_WEIGHTS
def test_a_finished_network_is_kept_and_the_rest_is_trained(trained):
    _, first, second, heard = trained
    assert "unet is finished already and kept" in heard
    assert "training vae" in heard
    assert second["networks"]["unet"]["kept"]
    assert second["networks"]["unet"]["steps"] == first["networks"]["unet"]["steps"]
    assert second["networks"]["unet"]["sha256"] != first["networks"]["unet"]["sha256"]  # tuned on what the VAE decodes
    assert not second["networks"]["vae"]["kept"]


@pytest.mark.slow
@SAVES_WEIGHTS
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"n": 16}, "n 8, and this asks for 16"),
        ({"overrides": {"unet": {"patch": 2, "base": 6, "levels": 1}}, "networks": ("unet",)}, "base 4, and this asks for 6"),
        ({"seed": 3}, "seed 0, and this asks for 3"),
        ({"epochs": {"unet": 9, "vae": 9}}, "steps 2, and this asks for 5"),
        ({"limit": 7}, "other training crystals (digest"),
    ],
)  # fmt: skip
def test_other_networks_in_the_output_folder_are_refused(trained, changes, says):
    request, *_ = trained
    asked = tiny_request(request.folder, request.data[0], **({"networks": ("unet", "vae")} | changes))
    before = read_card(request.folder / "unet").digest
    with pytest.raises(TrainInputError, match="--fresh") as refused:
        train_networks(asked, "", quiet)
    assert says in str(refused.value)
    assert read_card(request.folder / "unet").digest == before


@pytest.mark.slow
@SAVES_WEIGHTS
def test_fresh_takes_nothing_for_finished(trained):
    request, *_ = trained
    inputs = read_inputs(request)
    assert check_folder(request, make_jobs(request, inputs)) == ("unet", "vae")
    fresh = replace(request, fresh=True, seed=5)
    assert check_folder(fresh, make_jobs(fresh, inputs)) == ()


@pytest.mark.slow
@SAVES_WEIGHTS
def test_the_cgcnn_learns_from_both_files_in_any_cell(tmp_path):
    rows = salt_rows()
    tall = [
        row | {"id": f"t-{i}", "lattice": (np.array(row["lattice"]) * [[1], [1], [1.3]]).tolist(), "band_gap": 2.0 + i}
        for i, row in enumerate(rows)
    ]
    data, properties = write_rows(tmp_path / "a.jsonl", rows), write_rows(tmp_path / "b.jsonl", [*tall, rows[0]])
    request = tiny_request(tmp_path / "out", data, properties=(properties,), networks=("cgcnn",))
    record = train_networks(request, "", quiet)
    assert record["properties"]["crystals"] == {"train": 16, "val": 4, "test": 4}
    assert record["properties"]["labels_in_train"] == {"formation_energy_per_atom": 16, "band_gap": 8}
    assert record["networks"]["cgcnn"]["crystals"] == 16


def test_only_the_train_part_is_learned_from_and_a_limit_keeps_every_class(tmp_path):
    rows = [row_of(salts()[0], id=f"r-{i}", split="train", **{"class": "big"}) for i in range(40)]
    rows += [row_of(salts()[7], id=f"q-{i}", split="train", **{"class": "small"}) for i in range(4)]
    rows += [row_of(salts()[2], id=f"v-{i}", split="val", **{"class": "big"}) for i in range(5)]
    corpus = read_corpus([write_rows(tmp_path / "d.jsonl", rows)])
    assert set(training_part(corpus, None, 0).split) == {"train"}
    assert Counter(training_part(corpus, 11, 0).groups) == {"big": 10, "small": 1}
    assert Counter(training_part(corpus, 2, 0).groups) == {"big": 1, "small": 1}
    assert training_part(corpus, 11, 0).ids == training_part(corpus, 11, 0).ids
    assert training_part(corpus, 11, 0).ids != training_part(corpus, 11, 1).ids


def test_an_empty_class_is_refused(tmp_path):
    rows = [*salt_rows(), row_of(salts()[0], id="w", split="train", **{"class": "other"})]
    rows[:6] = [row | {"split": "test"} for row in rows[:6]]
    rows[6:12] = [row | {"split": "test"} for row in rows[6:12]]
    rows[12] = rows[12] | {"species": ["K"] * 8, "split": "train"}
    request = tiny_request(tmp_path / "out", write_rows(tmp_path / "d.jsonl", rows))
    with pytest.raises(
        TrainInputError, match=r"class CsCl_B2 has 6 crystals and none of them in train \(val 0, test 6\)"
    ):
        read_inputs(request)


def test_cells_that_are_not_cubic_are_refused_or_left_out(tmp_path):
    rows = salt_rows()
    rows[1]["lattice"][2][2] += 0.5
    path = write_rows(tmp_path / "d.jsonl", rows)
    with pytest.raises(TrainInputError, match=r"1 of 12 crystals are not cubic \(first: s-1, edges"):
        read_inputs(tiny_request(tmp_path / "out", path))
    inputs = read_inputs(tiny_request(tmp_path / "out", path, bad_rows="skip"))
    assert len(inputs.maps) == 11
    assert len(inputs.graphs) == 12
    assert "left out" in inputs.left_out[0]
    assert len(read_inputs(tiny_request(tmp_path / "out", path, lattice="orthorhombic")).maps) == 12


def test_crystals_without_labels_cannot_train_the_cgcnn(tmp_path):
    rows = [{k: v for k, v in row.items() if k != "formation_energy_per_atom"} for row in salt_rows()]
    path = write_rows(tmp_path / "d.jsonl", rows)
    with pytest.raises(TrainInputError, match="none of 8 training crystals has a label"):
        read_inputs(tiny_request(tmp_path / "out", path))
    assert read_inputs(tiny_request(tmp_path / "out", path, networks=("unet",))).graphs is None


def test_epochs_are_one_number_or_one_for_each_network():
    assert parse_epochs("20") == dict.fromkeys(NETWORKS, 20.0)
    assert parse_epochs("vae=60, unet=0.5") == {"vae": 60.0, "unet": 0.5}
    for wrong in ("0", "many", "vae=", "gan=3", "vae=-1", "vae=inf"):
        with pytest.raises(TrainInputError, match="--epochs"):
            parse_epochs(wrong)


def test_a_stored_corpus_is_read_back_and_a_damaged_one_is_named(tmp_path):
    corpus = read_corpus([write_rows(tmp_path / "d.jsonl", salt_rows())])
    save_corpus(tmp_path / NAME, corpus)
    back = load_corpus(tmp_path / NAME)
    assert back.digest == corpus.digest
    assert (back.ids, back.formulas, back.groups) == (corpus.ids, corpus.formulas, corpus.groups)
    (tmp_path / NAME).write_bytes((tmp_path / NAME).read_bytes()[:300])
    with pytest.raises(DataError, match="is unreadable"):
        load_corpus(tmp_path / NAME)
    with pytest.raises(DataError, match="no such file"):
        load_corpus(tmp_path / "none.npz")


def test_a_line_of_progress_says_loss_rate_and_time_left():
    line = {"network": "vae", "step": 50, "steps": 200, "seconds": 25.0, "cpu_s": 30.0, "memory_mb": 900, "loss": 0.25}
    assert describe(line, 8) == "loss 0.25; 16.0 samples/s, 1:15 left"


def test_the_closing_table_says_what_each_network_cost_and_what_to_do_next(tmp_path):
    row = {"crystals": 8, "steps": 4, "wall_s": 3.2, "cpu_s": 5.1, "peak_memory_mb": 700, "metrics": {"loss": 0.5}}
    record = {"networks": {"vae": row | {"validation": {"lattice_mae_ang": 0.0312}}, "unet": row | {"validation": {}}}}
    console = Console(record=True, width=100, file=io.StringIO())
    show_record(console, record, tmp_path)
    text = console.export_text()
    assert "vae on a sample of val: lattice_mae_ang 0.0312" in text
    assert "unet on a sample" not in text
    assert "700" in text
    assert "next: crystalloop generate random --models" in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--n", "20"], "--n 20 with --preset compact: n 20 cannot be folded"),
        (["--n", "24", "--preset", "paper"], "try --n"),
        (["--n", "2"], "VoxelConfig.n = 2; expected 4 to 256"),
        (["--only", "vae"], "does not exist; train it first (--only unet)"),
        (["--data", "none.jsonl"], "none.jsonl: no such file"),
        (["--data", "bad.jsonl"], "bad.jsonl line 2: formation_energy_per_atom = -203.0 eV/atom is outside -8..8 eV/atom"),
        (["--data", "alien.jsonl"], "Qq"),
        ([], "no crystals to train on; name a file or folder with --data"),
        (["--epochs", "none"], "--epochs none"),
    ],
)  # fmt: skip
def test_a_mistake_is_a_sentence_with_exit_code_2_before_any_work(tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    rows = salt_rows()
    write_rows(tmp_path / "bad.jsonl", [rows[0], rows[1] | {"formation_energy_per_atom": -203.0}])
    write_rows(tmp_path / "alien.jsonl", [rows[0] | {"species": ["Qq"] * 8}])
    done = CliRunner().invoke(app, ["train", "--out", "nets", *arguments])
    assert done.exit_code == 2, done.stderr
    assert says in done.stderr.replace("\n", " ")
    assert not (tmp_path / "nets").exists()
