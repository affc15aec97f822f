"""crystalloop generate: the same crystals for a seed, a funnel that counts, bases by name, files that read back."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from crystal_files import row_of, salt_rows, write_rows
from cubic_crystals import decorated
from rich.console import Console
from tiny_networks import SAVES_WEIGHTS, VOXELS, e_f_labels, salts, scrambled, tiny_cgcnn, tiny_unet, tiny_vae
from typer.testing import CliRunner

from crystalloop.models.crystals.crystal import Crystal, canonical_origin
from crystalloop.models.crystals.properties import E_F
from crystalloop.models.crystals.prototypes import Prototype
from crystalloop.models.crystals.structures import decorate, match_prototype
from crystalloop.models.data.corpus import read_corpus
from crystalloop.models.data.corpus_file import NAME, save_corpus
from crystalloop.models.data.files import read_crystals
from crystalloop.models.draw.proposal import Kind, Proposal
from crystalloop.models.draw.target import Range
from crystalloop.models.generate import request as generate_command
from crystalloop.models.generate.bases import CompoundError, TrainingCrystals, read_base
from crystalloop.models.generate.density_vae import deciles_between
from crystalloop.models.generate.request import GenerateRequest, draw_request, generate, load_generator, wanted_energies
from crystalloop.models.generate.results import Generated, as_json, write_crystals
from crystalloop.models.maps.channels import draw_maps
from crystalloop.models.nets.checkpoint import save
from crystalloop.orchestrator.campaign.target_text import parse_target
from crystalloop.orchestrator.cli.app import app
from crystalloop.orchestrator.show.tables import show_generated

pytestmark = [SAVES_WEIGHTS, pytest.mark.slow]
EDGES = tuple(np.linspace(-3, -1, 9))


def quiet(text):
    pass


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return read_corpus([write_rows(tmp_path_factory.mktemp("data") / "salts.jsonl", salt_rows())])


@pytest.fixture(scope="module")
def nets(tmp_path_factory, corpus):
    """A VAE of frame and prior alone, a UNet whose occupancy is everywhere, and a CGCNN of no worth."""
    folder = tmp_path_factory.mktemp("nets")
    unet, cgcnn = scrambled(tiny_unet()), scrambled(tiny_cgcnn(e_f_labels(12)))
    vae = tiny_vae(decile_edges_ev=EDGES, latent=8, hidden=8, a_ang=5.5)
    maps, condition = draw_maps([canonical_origin(c) for c in salts()], VOXELS), np.zeros((12, 10), np.float32)
    vae.start_frame(maps)
    vae.fit_prior(maps, condition, np.random.default_rng(0))
    kernel, bias = unet.model.get_layer("occupancy").get_weights()
    unet.model.get_layer("occupancy").set_weights([0.0 * kernel, bias + 50.0])
    for network in (unet, vae, cgcnn):
        save(folder / network.kind, network, data_digest="tiny")
    save_corpus(folder / NAME, corpus)
    return folder


@pytest.fixture(scope="module")
def drawn(nets):
    return generate(GenerateRequest(nets, "random", count=3, seed=1), quiet)


@pytest.fixture(scope="module")
def salt():
    """What `generate` would hand back, with a crystal that is known: NaCl."""
    structure = decorate(Prototype.ROCKSALT, ("Na", "Cl"), 5.64)
    row = {"formula": "NaCl", "prototype": None, "space_group": "P6_3/mmc", "e_f_sigma": None, "predicted": {}}
    return Generated((Proposal(Crystal.from_structure(structure), Kind.RANDOM),), (row,), {"generated": 1}, {})


@pytest.mark.slow
def test_the_same_seed_gives_the_same_crystals(nets, drawn):
    assert len(drawn.made) == 3
    again = generate(GenerateRequest(nets, "random", count=3, seed=1), quiet)
    assert as_json(again) == as_json(drawn)
    other = generate(GenerateRequest(nets, "random", count=3, seed=2), quiet)
    assert as_json(other)["crystals"] != as_json(drawn)["crystals"]


def test_the_funnel_counts_down_and_rows_say_what_was_predicted(drawn):
    counts = list(drawn.funnel.values())
    assert list(drawn.funnel) == ["generated", "read", "valid", "new", "unique"]
    assert counts == sorted(counts, reverse=True)
    assert drawn.funnel["generated"] == drawn.funnel["read"] + sum(drawn.failures.values())
    for row in drawn.rows:
        assert np.isfinite(row["predicted"][E_F])
        assert row["e_f_sigma"] > 0
        assert row["contact"] >= 0.7
        assert row["novelty"] in ("new formula", "new structure")
    json.dumps(as_json(drawn), allow_nan=False)


@pytest.mark.slow
def test_a_target_keeps_what_is_predicted_within_it(nets, drawn):
    bar = float(np.median([row["predicted"][E_F] for row in drawn.rows]))
    wanted = (Range(E_F, high=bar),)
    kept = generate(GenerateRequest(nets, "random", wanted=wanted, count=2, seed=1), quiet)
    assert kept.made
    assert all(row["predicted"][E_F] <= bar for row in kept.rows)
    assert 0 < kept.funnel["meets target"] < kept.funnel["unique"]


@pytest.mark.parametrize(
    ("text", "deciles"),
    [("e_f in -2.4..-2.3", [3]), ("e_f < -2.8", [0, 1]), ("e_f > -1.3", [7, 8, 9]), ("gap > 1", None)],
)  # fmt: skip
def test_a_range_of_formation_energies_asks_for_its_deciles(text, deciles):
    energies = wanted_energies(parse_target(text))
    assert deciles_between(tiny_vae(decile_edges_ev=EDGES), energies) == deciles
    assert deciles_between(tiny_vae(), energies) is None


def test_draws_name_their_compounds_and_a_target_replaces_their_condition(nets, corpus):
    known = TrainingCrystals(corpus)
    around = GenerateRequest(nets, "around", ("NaCl",))
    generator = load_generator(around)
    bases = [read_base(text, known, cubic=True) for text in ("NaCl", "KBr")]
    draws = generator.draw(draw_request(around, bases[:1], 0, 4))
    assert (str(draws.kind), set(draws.bases)) == ("around", {("NaCl",)})
    own = generator.vae.condition(np.array([bases[0].e_f_ev]))[0]
    np.testing.assert_array_equal(draws.condition, [own] * 4)
    wanted = parse_target("e_f in -2.4..-2.3")
    aimed = generator.draw(draw_request(replace(around, wanted=wanted), bases[:1], 0, 4))
    assert set(aimed.condition.argmax(axis=1)) == {3}
    between = generator.draw(draw_request(replace(around, mode="between"), bases, 0, 4))
    assert {frozenset(pair) for pair in between.bases} == {frozenset({"NaCl", "KBr"})}


def test_bases_are_training_crystals_decorations_or_cif_files(corpus, tmp_path, salt):
    known = TrainingCrystals(corpus)
    first = read_base("NaCl", known, cubic=True)
    assert first.e_f_ev == -3.0  # the more stable of the two that are known
    assert match_prototype(read_base("NaCl:CsCl_B2", known, cubic=True).crystal.to_structure()) is Prototype.CSCL
    assert read_base("NaCl:CsCl_B2", known, cubic=True).e_f_ev == pytest.approx(-1.636)
    assert read_base("RbI:rocksalt_B1", known, cubic=True).e_f_ev is None
    (path,) = write_crystals(tmp_path, salt)
    assert read_base(str(path), known, cubic=True).crystal.lengths_ang == pytest.approx([5.64] * 3, abs=1e-3)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("RbI", "write RbI:rocksalt_B1 or RbI:CsCl_B2 or RbI:zincblende_B3, or a CIF file"),
        ("Na2SO4", "is none of the training crystals; give a CIF file"),
        ("Qq", "is no chemical formula"),
        ("NaCl:wurtzite", "unknown prototype 'wurtzite'"),
        ("none.cif", "no such file"),
    ],
)
def test_a_compound_that_cannot_be_a_base_says_what_to_write(corpus, text, says):
    with pytest.raises(CompoundError) as refused:
        read_base(text, TrainingCrystals(corpus), cubic=True)
    assert says in str(refused.value)


def test_a_cell_that_is_not_cubic_is_no_base_of_cubic_networks(tmp_path):
    row = row_of(salts()[6], id="tall", split="train")
    row["lattice"][2][2] += 1.0
    known = TrainingCrystals(read_corpus([write_rows(tmp_path / "d.jsonl", [row])]))
    with pytest.raises(CompoundError, match="these networks draw cubic cells"):
        read_base("NaCl", known, cubic=True)
    assert read_base("NaCl", known, cubic=False).name == "NaCl"


def test_novelty_is_told_against_the_training_crystals(corpus):
    known = TrainingCrystals(corpus)
    assert known.novelty(decorated(Prototype.ROCKSALT, ("Na", "Cl"))) == "known"
    assert known.novelty(decorated(Prototype.ZINCBLENDE, ("Na", "Cl"))) == "new structure"
    assert known.novelty(decorated(Prototype.ROCKSALT, ("Rb", "I"))) == "new formula"
    assert TrainingCrystals(None).novelty(decorated(Prototype.ROCKSALT, ("Rb", "I"))) == "unknown"


def test_cif_files_read_back_as_what_was_made(tmp_path, salt):
    (path,) = write_crystals(tmp_path, salt)
    assert path.name == "001-NaCl-P6_3_mmc.cif"
    (read,) = read_crystals(path).crystals
    assert read.structure.matches(salt.made[0].structure)
    table = json.loads((tmp_path / "table.json").read_text())
    assert table["crystals"][0]["cif"] == path.name
    layout = write_rows(tmp_path / "again.jsonl", [{"id": "g", **table["crystals"][0], "cif": None}])
    assert read_corpus([layout]).crystals[0].to_structure().matches(salt.made[0].structure)


def test_without_a_cgcnn_nothing_is_predicted_and_no_target_can_be_met(nets, tmp_path, monkeypatch):
    monkeypatch.setattr(generate_command, "LATENTS_AT_ONCE", 8)
    bare = tmp_path / "bare"
    for network in ("vae", "unet"):
        shutil.copytree(nets / network, bare / network)
    made = generate(GenerateRequest(bare, "random", count=1, seed=1), quiet)
    assert made.rows[0]["predicted"][E_F] is None
    assert made.rows[0]["novelty"] == "unknown"
    assert "novelty stays unknown" in made.notes[0]
    done = CliRunner().invoke(app, ["generate", "random", "--models", str(bare), "--target", "e_f < -1"])
    assert done.exit_code == 2
    assert "--target needs predictions" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["random", "--models", "nowhere"], 2, "nowhere: no such folder; train networks"),
        (["random", "--models", "{nets}", "--target", "ef < 1"], 2, "did you mean e_f"),
        (["random", "NaCl", "--models", "{nets}"], 2, "random takes no compounds, got 1"),
        (["around", "--models", "{nets}"], 2, "around takes 1 compound or more, got 0"),
        (["between", "NaCl", "--models", "{nets}"], 2, "between takes 2 compounds or more, got 1"),
        (["around", "RbI", "--models", "{nets}"], 2, "RbI is none of the training crystals"),
        (["random", "--models", "."], 1, "no checkpoint in vae"),
    ],
)  # fmt: skip
def test_a_mistake_is_a_sentence_with_an_exit_code(nets, tmp_path, monkeypatch, arguments, code, says):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["generate", *[argument.format(nets=nets) for argument in arguments]])
    assert done.exit_code == code, done.stderr
    assert says in done.stderr.replace("\n", " ")


def test_networks_of_two_grids_are_refused(nets, tmp_path, monkeypatch):
    shutil.copytree(nets, tmp_path / "mixed")
    save(tmp_path / "mixed" / "unet", tiny_unet(n=16), data_digest="tiny")
    done = CliRunner().invoke(app, ["generate", "random", "--models", str(tmp_path / "mixed")])
    assert done.exit_code == 1
    assert "was trained on 16^3 voxels, the maps have 8^3" in done.stderr.replace("\n", " ")


def test_the_command_writes_files_and_prints_json_alone(nets, tmp_path, monkeypatch):
    monkeypatch.setattr(generate_command, "LATENTS_AT_ONCE", 8)
    call = [
        "generate",
        "random",
        "--models",
        str(nets),
        "--count",
        "2",
        "--out",
        str(tmp_path),
        "--elements",
        "Na, K,Cl",
    ]
    done = CliRunner().invoke(app, [*call, "--json"])
    assert done.exit_code == 0, done.stderr
    crystals = json.loads(done.stdout)["crystals"]
    assert len(crystals) == 2
    assert {symbol for crystal in crystals for symbol in crystal["species"]} <= {"Na", "K", "Cl"}
    assert sorted(path.name for path in tmp_path.glob("*.cif")) == sorted(crystal["cif"] for crystal in crystals)


def test_the_table_has_the_funnel_and_every_crystal(drawn):
    console = Console(record=True, width=200, file=io.StringIO())
    show_generated(console, drawn)
    text = console.export_text()
    assert "64 generated > " in text
    assert all(row["formula"] in text for row in drawn.rows)
    show_generated(console, Generated((), (), drawn.funnel, {}, ("a note",)))
    assert "no crystal came through" in console.export_text()
