"""The accelerator's script: its array file, and a training where nothing but the light packages and jax is there."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from crystal_files import row_of, salt_rows, write_rows
from tiny_networks import OVERRIDES, SAVES_WEIGHTS, salts

from crystalloop.models.data.corpus_file import load_corpus
from crystalloop.models.nets.checkpoint import load
from crystalloop.models.nets.unet import UNet

ROOT = Path(__file__).parents[2]
ABSENT = (
    "pymatgen",
    "spglib",
    "ase",
    "tensorflow",
    "ray",
    "pymongo",
    "fireworks",
    "pydantic",
    "typer",
    "matplotlib",
)


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    return importlib.import_module("gpu")


def packed(gpu, folder: Path, rows: list[dict]) -> dict:
    return gpu.main(["pack", str(write_rows(folder / "d.jsonl", rows)), "--out", str(folder / "a.npz")])


def test_crystals_come_back_from_the_array_file(gpu, tmp_path):
    rows = salt_rows()
    report = packed(gpu, tmp_path, rows)
    corpus = load_corpus(tmp_path / "a.npz")
    assert report["split"] == {"train": 8, "val": 2, "test": 2}
    assert report["digest"] == corpus.digest
    part = corpus.part("val")
    wanted = [row for row in rows if row["split"] == "val"]
    assert part.labels[:, 0].tolist() == [row["formation_energy_per_atom"] for row in wanted]
    assert np.isnan(part.labels[:, 1:]).all()
    by_id = {f"s-{i}": crystal for i, crystal in enumerate(salts())}
    for name, one in zip(part.ids, part.crystals, strict=True):
        other = by_id[name]
        np.testing.assert_array_equal(one.numbers, other.numbers)
        np.testing.assert_allclose(one.frac_coords, other.frac_coords, atol=1e-7)
        np.testing.assert_allclose(one.lattice, other.lattice, rtol=1e-12)


def test_a_limit_takes_crystals_from_the_whole_part(gpu, tmp_path):
    rows = [row_of(salts()[0], id=f"r-{i}", split="train", formation_energy_per_atom=-0.1 * i) for i in range(12)]
    packed(gpu, tmp_path, rows)
    train = load_corpus(tmp_path / "a.npz").part("train")
    some = gpu.even(train, 3)
    assert (some.ids[0], some.ids[-1]) == (train.ids[0], train.ids[-1])
    assert len(some) == 3
    assert gpu.even(train, 0) is train


def test_an_oblique_cell_is_left_out_of_the_array_file(gpu, tmp_path):
    rows = salt_rows()
    rows[0]["lattice"] = (np.array(rows[0]["lattice"]) + np.eye(3)[[1, 0, 0]] * [[0], [1], [0]]).tolist()
    report = packed(gpu, tmp_path, rows)
    assert report["crystals"] == 11
    assert "1 of 12 crystals are not cubic" in report["left_out"][0]


@pytest.mark.slow
@pytest.mark.skipif(find_spec("jax") is None, reason="jax is not installed; pip install -e '.[jax]'")
@SAVES_WEIGHTS
def test_it_trains_and_reads_crystals_where_no_other_package_is_installed(gpu, tmp_path):
    packed(gpu, tmp_path, salt_rows())
    # An entry None in sys.modules makes an import fail as if the package were not there.
    call = f"import sys; sys.modules.update(dict.fromkeys({ABSENT})); import gpu; print(gpu.json.dumps(gpu.main(sys.argv[1:])))"
    paths = [str(ROOT / "bench"), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    arguments = ["fit", str(tmp_path / "a.npz"), "--out", str(tmp_path / "run"), "--n", "8", "--draws", "4"]
    arguments += ["--overrides", json.dumps(OVERRIDES), "--unet-epochs", "3", "--vae-epochs", "3"]
    done = subprocess.run(
        [sys.executable, "-c", call, *arguments],
        env=os.environ
        | {"KERAS_BACKEND": "jax", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
        timeout=1500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout)
    assert set(report["networks"]) == {"unet", "vae"}
    assert all(np.isfinite(value) for row in report["networks"].values() for value in row["metrics"].values())
    assert report["reconstruction"]["crystals"] == 2
    assert 0 <= report["reconstruction"]["sites_found"] <= 1
    assert 0 <= report["random"]["valid_strict"] <= report["random"]["read"] <= 1
    assert np.isfinite(report["glance"]["vae"]["lattice_mae_ang"])
    assert load(tmp_path / "run" / "unet", UNet).config.n == 8  # under TensorFlow
