import json

import pytest
from pw_fakes import fake_table

from crystalloop.dft.recipe.pseudos import (
    BUNDLED_TABLE,
    CorruptPseudo,
    MissingPseudo,
    PseudoTable,
    install_from,
    read_table,
)


def test_the_bundled_table_names_every_element_with_cutoffs():
    table = read_table(BUNDLED_TABLE)
    assert len(table) == 103
    assert table["F"].filename == "f_pbe_v1.4.uspp.F.UPF"
    assert (table["O"].ecutwfc_ry, table["O"].ecutrho_ry) == (50.0, 400.0)
    assert all(entry.ecutrho_ry >= 4 * entry.ecutwfc_ry for entry in table.values())


def test_a_folder_with_a_table_of_its_own_is_read_with_it(tmp_path):
    table = fake_table(tmp_path, ("Li", "F"))
    assert set(table.entries) == {"Li", "F"}
    assert set(table.check(["F", "Li", "F"])) == {"F", "Li"}


def test_a_missing_folder_element_or_file_is_named(tmp_path):
    with pytest.raises(MissingPseudo, match="nowhere"):
        PseudoTable.load(tmp_path / "nowhere")
    table = fake_table(tmp_path)
    with pytest.raises(MissingPseudo, match="for Cs"):
        table["Cs"]
    (tmp_path / "F.upf").unlink()
    with pytest.raises(MissingPseudo, match=r"F\.upf"):
        table.check(["F"])


def test_actinides_are_refused(tmp_path):
    with pytest.raises(MissingPseudo, match="U is an actinide"):
        PseudoTable.load(tmp_path)["U"]


def test_a_truncated_file_is_found_by_its_md5_even_after_it_passed(tmp_path):
    table = fake_table(tmp_path)
    table.check(["Li"])
    (tmp_path / "Li.upf").write_text("<UP")
    with pytest.raises(CorruptPseudo, match=r"Li\.upf has md5"):
        table.check(["Li"])


@pytest.mark.parametrize("text", ["[", '{"Li": {}}', '{"Li": 3}', '{"Li": {"filename": "../x", "md5": "", "ecutwfc": 1, "ecutrho": 4}}'])  # fmt: skip # noqa: E501
def test_a_bad_table_is_named(tmp_path, text):
    (tmp_path / "table.json").write_text(text)
    with pytest.raises(CorruptPseudo, match=r"table\.json is no pseudopotential table"):
        PseudoTable.load(tmp_path)


def test_installing_copies_checked_files_once_and_refuses_wrong_ones(tmp_path):
    source = tmp_path / "source"
    fake_table(source)
    table = install_from(source, tmp_path / "target")
    assert set(table.check(["Li", "F"])) == {"Li", "F"}
    before = (tmp_path / "target" / "Li.upf").stat().st_mtime_ns
    install_from(source, tmp_path / "target")
    assert (tmp_path / "target" / "Li.upf").stat().st_mtime_ns == before
    rows = json.loads((source / "table.json").read_text())
    rows["Li"]["md5"] = "0" * 32
    (source / "table.json").write_text(json.dumps(rows))
    with pytest.raises(CorruptPseudo):
        install_from(source, tmp_path / "other")
