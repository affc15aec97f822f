"""The documentation says what is true: its commands exist, its campaign files are read, its links and paths lead somewhere."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

import crystalloop
from crystalloop.orchestrator.campaign.pw_settings import dft_settings
from crystalloop.orchestrator.campaign.read import read_campaign
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.campaign.yaml_text import parse_yaml
from crystalloop.orchestrator.cli import app as command_line

ROOT = Path(__file__).parents[2]
PAGES = sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").rglob("*.md"))
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
SKETCHES = {"docs/guide/own-policy.md", "docs/guide/own-generator.md", "docs/guide/own-oracle.md"}
"""Pages whose blocks are files that implement a contract, run by the tests of these: their syntax is checked here."""


@dataclass(frozen=True)
class Block:
    """Code between three backticks."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks() -> list[Block]:
    found = []
    for page, name in zip(PAGES, NAMES, strict=True):
        text = page.read_text(encoding="utf-8")
        for match in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S):
            found.append(Block(name, text.count("\n", 0, match.start()) + 1, match[1], match[2]))
    return found


def inline(text: str) -> list[str]:
    """Code between single backticks, with that of blocks left out."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S))


def commands() -> list[tuple[str, str]]:
    """(where, arguments) of each `crystalloop ...` in the pages."""
    found = []
    for block in blocks():
        if block.language in ("", "sh", "bash"):
            for line in re.sub(r"\\\n\s*", " ", block.text).splitlines():
                match = re.match(r"(?:\$ )?(?:\.venv/bin/)?crystalloop (.*)", line)
                if match:
                    found.append((str(block), match[1]))
    for page, name in zip(PAGES, NAMES, strict=True):
        for code in inline(page.read_text(encoding="utf-8")):
            if code.startswith("crystalloop "):
                found.append((name, code.removeprefix("crystalloop ")))
    return found


def words(text: str) -> list[str]:
    """The arguments of a command; what stands between [ ] in a synopsis may be given, so it is."""
    return shlex.split(text.replace("[--", "--").replace("]", " ") if "[--" in text else text, comments=True)


@pytest.mark.parametrize(("where", "text"), commands(), ids=lambda value: value[:60])
def test_every_command_and_option_exists(where, text):
    arguments = words(text)
    while arguments and arguments[0] in ("-v", "--verbose"):
        arguments.pop(0)
    if arguments == ["--version"] or arguments == ["--help"]:
        return
    assert arguments[0] in command_line.COMMANDS, where
    command = command_line.load(arguments.pop(0))
    if hasattr(command, "commands") and arguments:
        for name in arguments.pop(0).split("|"):
            assert name in command.commands, where
            inner = command.commands[name]
        command = inner
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    given = {word.partition("=")[0] for word in arguments if re.match(r"-{1,2}[a-z]", word)}
    assert given <= known, f"{where}: {given - known}"


AS_THEY_STAND = {
    "--version",
    "schema",
    "plan campaigns/first.yaml",
    "pseudos check",
    "pseudos list",
    "pseudos list --json",
}
"""Commands that compute nothing, write nothing and need no data."""


@pytest.mark.parametrize("text", sorted({text for _, text in commands()} & AS_THEY_STAND))
def test_commands_that_compute_nothing_run_as_they_stand(text, pseudo_folder):
    done = subprocess.run(
        [sys.executable, "-c", "from crystalloop.orchestrator.cli.app import main; main()", *words(text)],
        cwd=ROOT,
        env=os.environ | {"CRYSTALLOOP_PSEUDOS": str(pseudo_folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_first_campaign_of_the_guide_is_the_file_that_is_shipped():
    guide = next(b for b in blocks() if b.page.endswith("first-campaign.md") and b.language == "yaml")
    shipped = (ROOT / "campaigns" / "first.yaml").read_text(encoding="utf-8")
    given = yaml.safe_load(guide.text)
    assert Campaign.model_validate(given | {"elements": tuple(given["elements"])}) == Campaign.model_validate(
        yaml.safe_load(shipped)
    )


@pytest.mark.parametrize("block", [b for b in blocks() if b.language == "yaml"], ids=str)
def test_campaign_files_in_the_pages_are_read(block, tmp_path):
    content = yaml.safe_load(block.text)
    if "elements" not in content:
        content = yaml.safe_load((ROOT / "campaigns" / "first.yaml").read_text(encoding="utf-8")) | content
    file = tmp_path / "campaign.yaml"
    file.write_text(yaml.safe_dump(content))
    dft_settings(read_campaign(file))


def fragments() -> list[tuple[str, str]]:
    """Keys of a campaign file in running text, such as `dft: {slots: 0}`; not those with dots in place of a value."""
    keys = "|".join(Campaign.model_fields)
    return [
        (name, code)
        for page, name in zip(PAGES, NAMES, strict=True)
        for code in inline(page.read_text(encoding="utf-8"))
        if re.match(rf"({keys}): ", code) and not re.search(r": \.\.\.|, \.\.\.", code)
    ]


@pytest.mark.parametrize(("where", "code"), fragments(), ids=lambda value: value[:60])
def test_keys_in_running_text_are_read(where, code):
    first = yaml.safe_load((ROOT / "campaigns" / "first.yaml").read_text(encoding="utf-8")) | {
        "dft": {"preset": "fast"}
    }
    for key, value in parse_yaml(code).value.items():
        section = first[key] | value if isinstance(value, dict) and key in first and key != "target" else value
        dft_settings(Campaign.model_validate(first | {key: section}))


@pytest.mark.parametrize("block", [b for b in blocks() if b.language in ("json", "jsonl")], ids=str)
def test_json_in_the_pages_is_json(block):
    for line in block.text.splitlines() if block.language == "jsonl" else [block.text]:
        json.loads(line)


@pytest.mark.parametrize("page", sorted({b.page for b in blocks() if b.language == "python"}))
def test_python_in_the_pages_runs(page, tmp_path):
    script = "\n".join(block.text for block in blocks() if block.page == page and block.language == "python")
    ast.parse(script, page)
    if page in SKETCHES:
        return
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def slug(title: str) -> str:
    """The anchor that Python-Markdown, and but for dots and repeats GitHub, gives a heading."""
    plain = re.sub(r"[^\w\s-]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title)).strip().lower()
    return re.sub(r"[-\s]+", "-", plain)


def anchors(page: Path) -> set[str]:
    text = page.read_text(encoding="utf-8")
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    return {slug(title) for title in re.findall(r"^#+ (.*)$", outside, re.M)} | set(re.findall(r'id="([^"]+)"', text))


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name):
    page = ROOT / name
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?://|mailto:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


PLACES = "models|dft|db|orchestrator|tests|bench|campaigns|docs|scripts|src"


@pytest.mark.parametrize("name", NAMES)
def test_files_that_are_named_exist(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    named = {code for code in inline(text) if re.fullmatch(rf"({PLACES})/[\w./-]*", code)}
    assert not {path for path in named if not (ROOT / path).exists()}


def test_every_row_that_a_docstring_cites_is_there():
    for floor in ("models", "dft", "db", "orchestrator"):
        for file in (ROOT / floor).rglob("*.py"):
            for page, row in re.findall(
                r"docs/science/(\w+)\.md(?:,|:|\s)+row\s+(\d+)", file.read_text(encoding="utf-8")
            ):
                assert f"row-{row}" in anchors(ROOT / "docs" / "science" / f"{page}.md"), file


def test_every_page_has_a_place_in_the_site():
    def pages(entry):
        if isinstance(entry, dict):
            entry = list(entry.values())
        return [entry] if isinstance(entry, str) else [page for inner in entry for page in pages(inner)]

    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    assert sorted(pages(nav)) == sorted(name.removeprefix("docs/") for name in NAMES if name.startswith("docs/"))


def test_the_reference_is_up_to_date_and_describes_every_key():
    done = subprocess.run(
        [sys.executable, "scripts/reference_pages.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^\| `\w+` \| .* \| (.*) \|$", (ROOT / "docs/reference/campaign.md").read_text(), re.M)
    assert len(rows) > 50
    keys = (ROOT / "docs/reference/campaign.md").read_text(encoding="utf-8").partition("## dft.settings")[0]
    assert not re.findall(r"^\| `\w+` .*\|  \|$", keys, re.M)


def test_the_readme_lists_every_command():
    table = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = {row.partition(" ")[0] for row in re.findall(r"^\| `([^`]+)` \|", table, re.M)}
    assert set(command_line.COMMANDS) <= listed


def test_help_of_every_command_can_be_shown():
    for name in command_line.COMMANDS:
        assert CliRunner().invoke(command_line.app, [name, "--help"]).exit_code == 0, name


def test_there_is_one_version():
    newest = re.search(r"^## (\d\S*)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert newest is not None
    assert newest[1] == citation["version"] == crystalloop.__version__


def test_hooks_and_workflow_run_what_make_runs():
    make = (ROOT / "Makefile").read_text(encoding="utf-8")
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    lint = re.search(r"^LINT = (.*)$", make, re.M)
    assert lint is not None
    assert [hook["entry"] for hook in hooks] == lint[1].split(" && ")
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))["jobs"]
    runs = [step.get("run") for job in jobs.values() for step in job["steps"]]
    targets = set(re.search(r"^\.PHONY: (.*)$", make, re.M)[1].split())
    assert {run.removeprefix("make ") for run in runs if run and run.startswith("make ")} <= targets
    assert jobs["check"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]


def test_every_make_command_in_the_pages_is_a_target():
    make = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.search(r"^\.PHONY: (.*)$", make, re.M)[1].split())
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        lines = [line for block in re.findall(r"^```\w*\n(.*?)^```$", text, re.M | re.S) for line in block.splitlines()]
        for code in (*lines, *inline(text)):
            match = re.match(r"(?:[A-Z_]+=\S+ )*make ([a-z]\w*)\b", code)
            assert not match or match[1] in targets, (page.name, code)
            room = re.match(r"make test ROOM=(\w+)", code)
            assert not room or (ROOT / "tests" / room[1]).is_dir(), (page.name, code)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[`base.py`](../../orchestrator/acquire/base.py)", "`base.py`"),
        ("[a page](../dft.md#one-crystal)", "[a page](../dft.md#one-crystal)"),
        ("[a page](code-walk.md), [`x`](../../db/x.py#L1)", "[a page](code-walk.md), `x`"),
        ("[out](https://example.org/a.md), [here](#there)", "[out](https://example.org/a.md), [here](#there)"),
    ],
)
def test_the_site_keeps_links_between_pages_alone(text, shown, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    from site_links import without_links_outside

    assert without_links_outside(text, "guide/own-policy.md") == shown
