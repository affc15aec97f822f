"""Folders of CIF files and their labels.csv: every label at its crystal, and whatever fits nothing said by name."""

import pytest
from salt_cif import CIF

from crystalloop.models.crystals.properties import E_F
from crystalloop.models.data.corpus import read_corpus
from crystalloop.models.data.files import DataError, read_crystals

CSCL = "Cs1 Cs 0.0 0.0 0.0 1\nCl1 Cl 0.5 0.5 0.5 1"


def folder(tmp_path, *names, labels=None, place="cifs"):
    path = tmp_path / place
    path.mkdir()
    for index, name in enumerate(names):
        (path / name).write_text(CIF.format(a=4.12 + index / 10, rows=CSCL))
    if labels is not None:
        (path / "labels.csv").write_text(labels)
    return path


def energies(read):
    return {crystal.id: crystal.labels.get(E_F) for crystal in read.crystals}


def refused(path, **options):
    with pytest.raises(DataError) as told:
        read_crystals(path, **options)
    return str(told.value)


def test_an_id_is_the_files_name_with_or_without_cif_and_in_any_capitals(tmp_path):
    labels = f"id,{E_F}\na.cif,-2\nb,-1.5\nC.cif,-1\nD,-0.5\n"
    read = read_crystals(folder(tmp_path, "a.cif", "b.CIF", "c.cif", "d.cif", labels=labels))
    assert energies(read) == {"a": -2.0, "b": -1.5, "c": -1.0, "d": -0.5}
    assert read.notes == ()


def test_labels_without_a_file_files_without_labels_and_other_files_are_named(tmp_path):
    path = folder(tmp_path, "a.cif", "b.cif", labels=f"id,{E_F}\na,-2\nx,-1\ny,-1\nz,-1\nw,-1\n")
    (path / "POSCAR").write_text("x")
    (path / "more").mkdir()
    read = read_crystals(path)
    assert energies(read) == {"a": -2.0, "b": None}
    assert read.notes == (
        "cifs: 2 that are no .cif files are not read: POSCAR, more",
        "cifs/labels.csv: 4 rows fit no file, their labels are not used: w, x, y and 1 more",
        "cifs: 1 of 2 files have no row in labels.csv: b.cif",
    )
    assert set(read.notes) <= set(read_corpus([path]).left_out)


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (f"name,{E_F}\na,-2\n", "labels.csv has no column named id"),
        (f"id,{E_F}\na,-2\na.cif,-1\n", "labels.csv line 3: a.cif has labels in labels.csv line 2 already"),
        (f"id,{E_F}\na,-2,5\n", "labels.csv line 2: has 3 cells, and the header 2"),
        (f"id;{E_F}\na;-2\n", "semicolons; write commas"),
        (f"id,{E_F}\nA,-2\n", "fits a.CIF and a.cif; write the whole name"),
    ],
)
def test_a_labels_csv_that_cannot_be_used_stops_all(tmp_path, labels, says):
    path = folder(tmp_path, "a.cif", "a.CIF", labels=labels)
    if "id,form" in labels.replace(E_F, "form") and "fits" not in says:
        (path / "a.CIF").unlink()
    for skip_bad in (False, True):
        assert says in refused(path, skip_bad=skip_bad)


def test_names_that_differ_in_capitals_are_crystals_of_their_own(tmp_path):
    read = read_crystals(folder(tmp_path, "a.cif", "a.CIF", labels=f"id,{E_F}\na.cif,-2\na.CIF,-1\n"))
    assert energies(read) == {"a.CIF": -1.0, "a.cif": -2.0}


def test_equal_names_in_two_folders_are_crystals_of_their_own(tmp_path):
    first = folder(tmp_path, "a.cif", labels=f"id,{E_F}\na,-2\n", place="one")
    second = folder(tmp_path, "b.cif", "a.cif", labels=f"id,{E_F}\na,-1\n", place="two")
    corpus = read_corpus([first, second])
    assert corpus.ids == ("a", "two/a", "b")
    assert corpus.labels[:, 0].tolist()[:2] == [-2.0, -1.0]


def test_a_bad_label_costs_the_label_and_a_bad_file_the_crystal(tmp_path):
    path = folder(tmp_path, "a.cif", "b.cif", "c.cif", labels=f"id,{E_F}\na,-200\nb,-1\nc,-1\n")
    (path / "b.cif").write_text("data_x\n")
    assert "b.cif: no atoms" in refused(path)
    read = read_crystals(path, skip_bad=True)
    assert energies(read) == {"a": None, "c": -1.0}
    assert "b.cif: no atoms" in read.left_out[0]
    assert "labels.csv line 2" in read.notes[0]
    assert "formation_energy_per_atom = -200 eV/atom is outside -8..8 eV/atom" in read.notes[0]


def test_fields_of_labels_csv_are_those_of_its_crystal(tmp_path):
    header = f"id,{E_F},formation_energy_scheme,split,class"
    path = folder(tmp_path, "a.cif", "b.cif", labels=f"{header}\na,-2,MP2020,train,salt\nb,-1,OQMD,train,ore\n")
    (crystal,) = read_crystals(path, where={"class": "ore"}).crystals
    assert (crystal.id, crystal.scheme) == ("b", "OQMD")
    corpus = read_corpus([path])
    assert (corpus.groups, corpus.split.tolist()) == (("salt", "ore"), ["train", "train"])


def test_a_folder_without_a_cif_and_what_cannot_be_opened_say_so(tmp_path):
    path = folder(tmp_path)
    assert "cifs: no .cif file in this folder; give CIF files" in refused(path)
    (path / "POSCAR").write_text("x")
    assert "no .cif file in this folder but POSCAR" in refused(path)
    (path / "loop.cif").symlink_to(path / "loop.cif")
    assert "loop.cif: is no file that can be read" in refused(path)
    assert "no such file or folder" in refused(path / ("n" * 300 + ".csv"))
    assert "no such file or folder" in refused(path / "loop.cif")


def test_a_cif_in_latin_1_is_read_and_one_in_utf_16_named(tmp_path):
    path = folder(tmp_path, "a.cif")
    (path / "a.cif").write_bytes(("# Jörg\n" + CIF.format(a=4.12, rows=CSCL)).encode("latin-1"))
    assert len(read_crystals(path).crystals) == 1
    (path / "a.cif").write_bytes(CIF.format(a=4.12, rows=CSCL).encode("utf-16"))
    assert "UTF-16; save it as UTF-8" in refused(path)


def test_what_a_mac_keeps_beside_each_file_is_no_crystal(tmp_path):
    path = folder(tmp_path, "a.cif")
    (path / "._a.cif").write_bytes(b"\0\5\x16\7")
    read = read_crystals(path)
    assert [one.id for one in read.crystals] == ["a"] and read.notes == ()


def test_folders_of_cif_files_in_a_folder_are_named(tmp_path):
    folder(tmp_path, "a.cif", place="inner")
    assert "its CIF files lie in inner: give each of these" in refused(tmp_path)
