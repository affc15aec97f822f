"""The text of campaign files: what YAML allows and users mean, and what is refused, where."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crystalloop.models.data.files import DataError, read_crystals
from crystalloop.orchestrator.campaign.pw_settings import dft_settings
from crystalloop.orchestrator.campaign.read import read_campaign
from crystalloop.orchestrator.campaign.spec import Campaign, ConfigError
from crystalloop.orchestrator.run.network_keys import check_networks

HEAD = "name: small\nelements: [Li, F]\nprototypes: [rocksalt_B1]\ntarget: {maximum: -1}\n"


def campaign_of(folder: Path, text: str) -> Campaign:
    (folder / "c.yaml").write_text(text, encoding="utf-8")
    return read_campaign(folder / "c.yaml")


def refusal(folder: Path, text: str | bytes) -> str:
    path = folder / "c.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as refused:
        read_campaign(path)
    return str(refused.value).replace(str(folder), "")


@pytest.mark.parametrize(
    ("more", "line", "says"),
    [
        ("dft: {slots: 1}\nrounds: 1\ndft: {slots: 2}\n", 7, "the key 'dft' stands twice (first on line 5)"),
        ("dft:\n  preset: paper\n  slots: 1\n  preset: test\n", 8, "the key 'preset' stands twice (first on line 6)"),
        ('rounds: 1\n"rounds": 2\n', 6, "the key 'rounds' stands twice"),
        ("dft: {slots: 1, slots: 1}\n", 5, "the key 'slots' stands twice"),
        ("data:\n- path: a.csv\n  where: {class: a, class: b}\n", 7, "the key 'class' stands twice"),
        ("networks: {vae: {latent: 8, latent: 16}}\n", 5, "the key 'latent' stands twice"),
        ("Rounds: 2\n", 5, "unknown key 'Rounds'; did you mean 'rounds'?"),
        ("ROUNDS: 2\n", 5, "unknown key 'ROUNDS'; did you mean 'rounds'?"),
        ("---\nname: other\n", 5, "a second document begins"),
        ("dft: !!python/object:os.system {}\n", 5, "the tag !!python/object:os.system is not for campaign files"),
        ("rounds: !!int 3\n", 5, "the tag !!int is not for"),
        ("seed: !mine 3\n", 5, "the tag !mine is not for"),
        ("rounds: *nothing\n", 5, "*nothing repeats what no &nothing"),
        ("networks: &a {vae: *a}\n", 5, "*a stands inside what it repeats"),
        ("? [a, b]\n: 1\n", 5, "a key must be a word"),
        ("dft:\n\tslots: 1\n", 6, "a tab stands where YAML wants spaces"),
        ("rounds: [1\nseed: 2\n", 6, "not valid YAML"),
        ("rounds: 1\n\x00", 6, "a character that text has not (code 0x0)"),
        ("dft: {settings: " + "[" * 3000 + "]" * 3000 + "}\n", 5, "nested more than 24 deep"),
        ("dft: {settings: " + "{a: " * 3000 + "1" + "}" * 3000 + "}\n", 5, "nested more than 24 deep"),
        ("seed: " + "9" * 5000 + "\n", 5, "a number of 5000 characters"),
        ("dft: {settings: {conv_thr_ry_per_atom: 1e-" + "9" * 5000 + "}}\n", 5, "a number of 5003 characters"),
    ],
)
def test_what_no_campaign_file_says_is_refused_with_its_line(tmp_path, more, line, says):
    said = refusal(tmp_path, HEAD + more)
    assert said.startswith(f"/c.yaml line {line}: ")
    assert says in said


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty, or comments only"),
        (b"# name: x\n\n# more\n", "empty, or comments only"),
        (b"---\n...\n", "empty, or comments only"),
        (b"- 1\n", "holds list, not a table of keys"),
        (b"name\n", "holds text, not a table of keys"),
        (b"7\n", "holds a number, not a table of keys"),
        (HEAD.encode("utf-16"), "not a text file in UTF-8, but in UTF-16"),
        (HEAD.encode("utf-32"), "not a text file in UTF-8, but in UTF-32"),
        ((HEAD + "# \u00c5ngstr\u00f6m\n").encode("latin-1"), "line 5: not a text file in UTF-8 (byte 80 is 0xc5)"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "not a text file in UTF-8"),
        (b"\x1f\x8b\x08\x00" + bytes(40), "not a text file in UTF-8"),
        (HEAD.encode() + b"#" * 600_000, "more than 512 kB"),
    ],
)
def test_a_file_that_is_no_campaign_is_told_what_it_is(tmp_path, content, says):
    assert says in refusal(tmp_path, content)


def test_a_folder_is_no_campaign_file(tmp_path):
    with pytest.raises(ConfigError, match="a folder; name a campaign's YAML file"):
        read_campaign(tmp_path)


def test_a_bomb_of_aliases_is_counted_and_never_built(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    started = time.monotonic()
    assert "more than 100000 values, with what its aliases repeat" in refusal(tmp_path, "\n".join(lines))
    assert time.monotonic() - started < 5


def test_a_byte_order_mark_and_windows_line_ends_are_nothing(tmp_path):
    (tmp_path / "c.yaml").write_bytes(b"\xef\xbb\xbf" + HEAD.replace("\n", "\r\n").encode())
    assert read_campaign(tmp_path / "c.yaml").name == "small"


def test_anchors_and_merged_tables_say_what_they_say(tmp_path):
    text = HEAD + "dft: &d {slots: 3, per_round: 2}\n"
    assert campaign_of(tmp_path, text.replace("dft: &d", "dft:")).dft.slots == 3
    merged = "data:\n- &one {path: a.csv, bad_rows: skip}\n- {<<: *one, path: b.csv}\n"
    files = campaign_of(tmp_path, HEAD + merged).data
    assert [(file.path.name, file.bad_rows) for file in files] == [("a.csv", "skip"), ("b.csv", "skip")]
    assert "line 7: unknown key 'data.1.limt'" in refusal(
        tmp_path, HEAD + "data:\n- &one {path: a.csv}\n- {<<: *one, limt: 3}\n"
    )


def test_elements_that_yaml_takes_for_answers_are_elements(tmp_path):
    text = HEAD.replace("[Li, F]", "[Y, No, N, O]")
    assert campaign_of(tmp_path, text).elements == ("N", "No", "O", "Y")
    made = campaign_of(tmp_path, HEAD.replace("[Li, F]", "[Y, N]") + "bases: [YN:rocksalt_B1]\n")
    assert made.bases == ("YN:rocksalt_B1",)
    assert "'NO' is not an element symbol; did you mean No?" in refusal(tmp_path, HEAD.replace("[Li, F]", "[NO, Li]"))
    assert "'False' is" not in refusal(tmp_path, HEAD.replace("[Li, F]", "[false, Li]"))


@pytest.mark.parametrize("word", ["yes", "Yes", "on", "true", "TRUE", "y"])
def test_every_word_for_true_is_true_where_a_key_takes_it(tmp_path, word):
    assert campaign_of(tmp_path, HEAD + f"ray: {{use_gpu: {word}}}\n").ray.use_gpu is True
    assert dft_settings(campaign_of(tmp_path, HEAD + f"dft: {{settings: {{nosym: {word}}}}}\n")).nosym is True


@pytest.mark.parametrize(
    ("more", "value"),
    [("rounds: 1e2\n", 100), ("rounds: 1_000\n", 1000), ("rounds: +7\n", 7), ('rounds: "6"\n', 6), ("rounds: 5.\n", 5)],
)
def test_numbers_are_what_every_reader_takes_them_for(tmp_path, more, value):
    assert campaign_of(tmp_path, HEAD + more).rounds == value


def test_small_numbers_without_a_point_are_numbers(tmp_path):
    made = campaign_of(tmp_path, HEAD + "networks: {vae: {beta: 2e-6}}\ndft: {settings: {etot_conv_thr_ry: 1e-4}}\n")
    assert made.networks.vae["beta"] == 2e-6
    assert dft_settings(made).etot_conv_thr_ry == 1e-4


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("rounds: 010\n", "line 5: rounds: 010 is 10 to some readers and octal to others"),
        ('rounds: "010"\n', "rounds: 010 is 10 to some readers"),
        ("budget: {wall_minutes: 1:30}\n", "budget.wall_minutes: a time of day is no number here"),
        ("seed: 2024-11-31\n", "seed: not a number; write one, without a unit (given: '2024-11-31')"),
        ("rounds: true\n", "rounds: true and false are no numbers (given: True)"),
        ("dft: {lease_s: false}\n", "dft.lease_s: true and false are no numbers"),
        ("networks: {steps: {vae: true}}\n", "networks.steps: true and false are no numbers"),
        (
            "rounds: null\n",
            "rounds: Input should be a valid integer (given: None); it takes a whole number, >= 1, <= 10000",
        ),
        ("rounds: 2.5\n", "rounds: Input should be a valid integer, got a number with a fractional part (given: 2.5)"),
        ("rounds: .inf\n", "rounds: Input should be a finite number (given: inf); it takes a whole number, >= 1"),
        ("rounds: -3\n", "rounds: Input should be greater than or equal to 1 (given: -3)"),
        (
            "dft: {lease_s: .nan}\n",
            "dft.lease_s: Input should be a finite number (given: nan); it takes a number, >= 2",
        ),
        ("dft: {lease_s: 1e300}\n", "dft.lease_s: Input should be less than or equal to 1000000 (given: 1e+300)"),
        ("budget: {cpu_hours: .inf}\n", "budget.cpu_hours: Input should be a finite number"),
        ("budget: {wall_minutes: 1e300}\n", "budget.wall_minutes: Input should be less than or equal to 100000000"),
        ("generate: {random: 1e300}\n", "generate.random: Input should be less than or equal to 1000000"),
        (
            "ray: {cpus_per_train_worker: 1e300}\n",
            "ray.cpus_per_train_worker: Input should be less than or equal to 4096",
        ),
        ("ray: {use_gpu: 2}\n", "ray.use_gpu: Input should be a valid boolean"),
        (
            "dft:\n",
            "line 5: dft: Input should be a valid dictionary or instance of Dft (given: None); leave the key out",
        ),
        ("prototypes: rocksalt_B1\n", "stands twice"),
        (
            "bases: LiF:rocksalt_B1\n",
            "bases: Input should be a valid tuple (given: 'LiF:rocksalt_B1'); it takes a list",
        ),
        (
            "ray: {address: true}\n",
            "ray.address: Input should be a valid string (given: True); it takes a text; in quotes",
        ),
        ("bases: [" + "LiF:rocksalt_B1, " * 3000 + "]\n", "bases: Tuple should have at most 2000 items"),
        ("folder: ~\n", "line 5: folder: ~ alone is `null` in YAML"),
        ("dft: {pseudos: ~}\n", "line 5: dft.pseudos: ~ alone is `null` in YAML"),
        ("folder: ''\n", "folder: an empty path"),
        ("folder: [a]\n", "folder: Input is not a valid path"),
        ("folder: ~nobody_of_this_name/x\n", "there is no user 'nobody_of_this_name' here"),
        ("folder: a/~/b\n", "~ is a home folder only where a path begins with it"),
        ("folder: $NOT_SET_ANYWHERE/x\n", "$NOT_SET_ANYWHERE in '$NOT_SET_ANYWHERE/x' is not set"),
        ("data: [{path: a.csv, where: {a: {b: 1}}}]\n", "data.0.where: a: write a text, a number, true or false"),
        ("data: [{path: a.csv, where: {a: []}}]\n", "data.0.where: a: no value would do"),
        ("data: [{path: a.csv, where: {a: .nan}}]\n", "data.0.where: a: no row has such a number"),
        ("data: [{path: a.csv, where: [a]}]\n", "data.0.where: write fields with their values"),
    ],
)
def test_a_value_of_another_kind_or_size_is_named_with_key_and_bound(tmp_path, more, says):
    assert says in refusal(tmp_path, HEAD + more)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("dft: {settings: {conv_thr_ry_per_atom: .nan}}", "dft.settings.conv_thr_ry_per_atom: nan is no number"),
        ("dft: {settings: {ecutwfc_ry: .inf}}", "dft.settings.ecutwfc_ry: inf is no number"),
        ("dft: {settings: {ecutwfc_ry: 1e300}}", "dft.settings.ecutwfc_ry: 1e+300 is no number"),
        ("dft: {settings: {max_attempts: true}}", "dft.settings.max_attempts: true and false are no numbers"),
        ("dft: {settings: {starting_moments: {Fe: .inf}}}", "dft.settings.starting_moments: inf is no number"),
        ("dft: {settings: {k_mesh: [1, 2, 1000000000]}}", "dft.settings.k_mesh: [1, 2, 1000000000] is more than"),
        ("dft: {settings: {ecutwfc_ry: 4e9}}", "is more than pw.x ever needs; at most 2000"),
        ("dft: {settings: {ecutwfc: 40}}", "did you mean 'ecutwfc_ry'?"),
        ("networks: {vae: {latent: many}}", "networks.vae.latent: not a number"),
        ("networks: {vae: {latent: true}}", "networks.vae.latent: true and false are no numbers"),
        ("networks: {vae: {alpha: .nan}}", "networks.vae.alpha: nan is no number"),
        ("networks: {cgcnn: {members: 0}}", "networks.cgcnn: members, widths"),
        ("networks: {unet: {depth: 3}}", "networks.unet.depth: unknown field"),
        ("networks: {unet: {levels: null}}", "networks.unet.levels: Input should be a valid integer"),
    ],
)
def test_single_fields_of_settings_and_networks_are_held_to_the_same(tmp_path, more, says):
    campaign = campaign_of(tmp_path, HEAD + more)
    with pytest.raises(ConfigError) as refused:
        dft_settings(campaign)
        check_networks(campaign)
    assert says in str(refused.value)


def test_texts_that_look_like_numbers_stay_as_they_are_written(tmp_path):
    for name in ("123", "1e5", "007", "0x10", "2024-11-31", "no", "12_3"):
        assert campaign_of(tmp_path, HEAD.replace("small", name)).name == name
    assert campaign_of(tmp_path, HEAD + "database: {name: 2024}\n").database.name == "2024"
    assert campaign_of(tmp_path, HEAD + "folder: 2024\n").folder == Path("2024")


def test_a_tilde_and_a_variable_are_folders_of_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("SCRATCH", "/fast")
    text = HEAD + (
        "folder: ~/runs\ndata: [{path: ~/a.csv}]\n"
        "dft: {pseudos: $HOME/upf, scratch: '${SCRATCH}/x', pw_command: 'mpirun -np 4 ~/qe/pw.x'}\n"
    )
    made = campaign_of(tmp_path, text)
    assert made.run_folder == Path("/home/ada/runs")
    assert made.data[0].path == Path("/home/ada/a.csv")
    assert made.pseudo_folder == Path("/home/ada/upf")
    assert made.dft.scratch == Path("/fast/x")
    assert made.dft.pw_command == "mpirun -np 4 /home/ada/qe/pw.x"


def test_many_problems_are_cut_short(tmp_path):
    said = refusal(tmp_path, HEAD + "".join(f"key{n}: 1\n" for n in range(500)))
    assert len(said.splitlines()) == 21
    assert said.endswith("and 480 more")


ROWS = [
    {"class": "a", "stable": True, "gap": 0, "n": 4.12},
    {"class": "b", "stable": False, "gap": 2, "n": "4.120"},
    {"class": "c", "stable": "yes", "gap": None, "n": 5},
    {"class": "7", "stable": "True"},
]


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        ("{stable: true}", "a c 7"),
        ("{stable: 'true'}", "a c 7"),
        ("{stable: True}", "a c 7"),
        ("{stable: no}", "b"),
        ("{n: 4.12}", "a b"),
        ("{n: '4.12'}", "a"),
        ("{class: [a, b]}", "a b"),
        ("{class: [a, 7], stable: true}", "a 7"),
        ("{gap: null}", "c 7"),
        ("{gap: 0}", "a"),
        ("{gap: [0, null]}", "a c 7"),
        ("'stable = true and n < 4.2'", "a"),
        ("'stable in (false, no)'", "b"),
        ("'n in 4..4.5'", "a b"),
    ],
)
def test_true_is_true_numbers_are_numbers_and_several_values_will_do(tmp_path, where, kept):
    crystal = {"a": 5.7, "species": ["Na", "Cl"], "frac_coords": [[0, 0, 0], [0.5, 0.5, 0.5]]}
    rows = [json.dumps(crystal | row | {"id": row["class"]}) for row in ROWS]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows), encoding="utf-8")
    (file,) = campaign_of(tmp_path, HEAD + f"data: [{{path: rows.jsonl, where: {where}}}]\n").data
    found = read_crystals(file.path, where=file.keep)
    assert [crystal.id for crystal in found.crystals] == kept.split()


def test_where_nothing_is_kept_the_sentence_says_what_the_rows_have(tmp_path):
    crystal = {"a": 5.7, "species": ["Na", "Cl"], "frac_coords": [[0, 0, 0], [0.5, 0.5, 0.5]]}
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(crystal | row) for row in ROWS), encoding="utf-8")
    for where, says in (
        ("{stable: maybe}", "stable is true, false, yes, True there"),
        ("'stabel = true'", "no row has a field stabel; there are a, class, frac_coords, gap, n, species, stable"),
    ):
        (file,) = campaign_of(tmp_path, HEAD + f"data: [{{path: rows.jsonl, where: {where}}}]\n").data
        with pytest.raises(DataError) as refused:
            read_crystals(file.path, where=file.keep)
        assert says in str(refused.value)


PIECES = [
    *(
        "name: a",
        "elements: [Li, F]",
        "target:",
        "dft:",
        "  slots: ",
        "data:",
        "- path: x",
        "  where: ",
        "&a ",
        "*a",
        "<<: ",
    ),
    *(
        "{",
        "}",
        "[",
        "]",
        ": ",
        ", ",
        "\n",
        "  ",
        "\t",
        "'",
        '"',
        "|",
        ">",
        "!",
        "!!",
        "%",
        "?",
        "-",
        "---",
        "...",
        "#",
    ),
    *(
        ".nan",
        ".inf",
        "1e300",
        "0x",
        "010",
        "1:30",
        "~",
        "null",
        "yes",
        "2024-13-45",
        "\x85",
        "\u2028",
        "\ufeff",
        "\\x",
    ),
]


@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None)
@given(text=st.one_of(st.lists(st.sampled_from(PIECES), max_size=40).map("".join), st.text(max_size=60)))
def test_no_text_does_more_than_be_refused(tmp_path, text):
    path = tmp_path / "fuzzed.yaml"
    path.write_bytes((HEAD + text if len(text) % 2 else text).encode("utf-8", "surrogatepass"))
    try:
        read_campaign(path)
    except ConfigError as error:
        assert str(error)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None)
@given(raw=st.binary(max_size=200))
def test_no_bytes_do_more_than_be_refused(tmp_path, raw):
    path = tmp_path / "fuzzed.yaml"
    path.write_bytes(raw)
    with pytest.raises(ConfigError):
        read_campaign(path)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("name: first", "name: My run", "a name has small letters, digits, - and _"),
        ("seed: 1", "data: x.jsonl", "each with its path: [{path: crystals.jsonl}]"),
        ("seed: 1", "data: [x.jsonl]", "each with its path: [{path: crystals.jsonl}]"),
    ],
)
def test_a_name_and_files_of_another_form_are_told_the_form(tmp_path, before, after, said):
    text = "name: first\nelements: [Li, F]\nprototypes: [rocksalt_B1]\ntarget: e_f < -2\nseed: 1\n"
    (tmp_path / "c.yaml").write_text(text.replace(before, after))
    with pytest.raises(ConfigError) as told:
        read_campaign(tmp_path / "c.yaml")
    assert said in str(told.value)
