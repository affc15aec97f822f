"""The law of the house: rooms, the arrows between them, who may touch which heavy library, and what is refused everywhere.

Changing a row of a table is a decision: a commit of its own, with its reason.
"""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLOORS = ("models", "dft", "db", "orchestrator")
MOST_FILES, MOST_LINES = 12, 300

# A file may import its own room and these, at the top of the file or inside a function; a name without a slash is a
# room of the same floor, or a whole floor; "*" is everything.
MAY_IMPORT: dict[str, str] = {
    "models/crystals": "",
    "models/maps": "crystals",
    "models/formats": "crystals formats/parts formats/objects formats/cif_reader",
    "models/formats/parts": "crystals formats",
    "models/formats/objects": "crystals formats formats/parts",
    "models/formats/cif_reader": "crystals formats",
    "models/data": "crystals formats",
    "models/nets": "crystals maps",
    "models/draw": "crystals maps nets",
    "models/learn": "crystals maps nets",
    "models/surrogate": "crystals",
    "models/surrogate/chances": "surrogate",
    "models/generate": "crystals maps nets data draw",
    "models/judge": "crystals maps nets data draw generate learn",
    "dft/recipe": "",
    "dft/pw": "recipe",
    "dft/heal": "recipe pw",
    "dft/energies": "recipe",
    "dft/relax": "recipe pw heal",
    "dft/oracles": "recipe pw relax",
    "dft/alone": "recipe pw relax energies",
    "dft/work": "recipe pw relax oracles db/ledger db/ledger/access",
    "db/ledger": "ledger/access",
    "db/ledger/access": "ledger",
    "db/query": "",
    "db/embedded/engine": "",
    "db/embedded/commands": "embedded/engine",
    "db/embedded": "embedded/engine embedded/commands",
    "db/serving": "ledger ledger/access embedded",
    "orchestrator/campaign": "campaign/choice campaign/wanted models/crystals models/draw dft/recipe dft/relax db/query",
    "orchestrator/campaign/choice": "orchestrator/campaign db/query models/crystals",
    "orchestrator/campaign/wanted": "orchestrator/campaign models/crystals models/draw db/query",
    "orchestrator/loop": "campaign account db/ledger",
    "orchestrator/acquire": "acquire/layers campaign/choice models/crystals models/draw",
    "orchestrator/acquire/layers": "acquire models/crystals models/draw",
    "orchestrator/account": "db/ledger db/query models/crystals models/draw models/surrogate models/surrogate/chances",
    "orchestrator/cluster": "campaign",
    "orchestrator/settle": "campaign campaign/choice loop db/ledger dft/recipe dft/pw dft/energies models/crystals models/data "
    "models/draw",
    "orchestrator/learn": "campaign loop cluster db/ledger models",
    "orchestrator/propose": "propose/baselines campaign campaign/choice loop cluster acquire learn db/ledger models",
    "orchestrator/propose/baselines": "propose campaign acquire db/ledger models",
    "orchestrator/show": "campaign loop account db/ledger models orchestrator/show/chances",
    "orchestrator/show/chances": "orchestrator/show account models/surrogate/chances",
    "orchestrator/show/relaxed": "orchestrator/show models/crystals",
    "orchestrator/simulate/truth": "campaign campaign/choice models",
    "orchestrator/simulate": "simulate/truth campaign campaign/choice loop acquire account propose settle db/ledger dft models",
    "orchestrator/show/simulation": "orchestrator/show orchestrator/simulate orchestrator/simulate/truth",
    "orchestrator/run": "campaign campaign/choice loop cluster acquire propose propose/baselines learn settle account show "
    "db dft models",
    "orchestrator/cli": "*",
}

# Where a heavy library, or the power to start a process, may be imported: rooms, or files without their ending.
HEAVY: dict[str, str] = {
    "ray": "orchestrator/cluster orchestrator/propose/actors orchestrator/learn/ray_fit",
    "tensorflow": "models/learn/engine_tensorflow",
    "jax": "models/learn/engine_jax",
    "keras": "models/nets models/learn/engine_tensorflow models/learn/engine_jax",
    "sklearn": "models/surrogate",
    "crepes": "models/surrogate",
    "fireworks": "dft/work",
    "mongomock": "db/embedded",
    "pymongo": "db/ledger db/serving dft/work",
    "subprocess": "dft/pw/run db/serving orchestrator/run/workers",
    "matplotlib": "orchestrator/show",
    "jinja2": "orchestrator/show",
    "typer": "orchestrator/cli",
    "rich": "orchestrator/cli orchestrator/show",
}

# What breaks the law, each by name, and is to go: "file -> what it may not import", "file: too long", ...
EXCEPTIONS: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Source:
    """One of our files, as the law sees it: `models/maps/voxels.py` and its text."""

    file: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def room(self) -> str:
        return self.file.rpartition("/")[0]

    @property
    def name(self) -> str:
        return self.file.removesuffix(".py")

    @cached_property
    def imports(self) -> tuple[tuple[str, str, bool], ...]:
        """(module, name, whether for type checkers alone): `from m import n` gives (m, n), `import m` gives (m, "")."""
        for_types = {
            inner
            for node in ast.walk(self.tree)
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
            for inner in ast.walk(node)
        }
        found = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found += [(alias.name, "", node in for_types) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                module = "." * node.level + (node.module or "")
                found += [(module, alias.name, node in for_types) for alias in node.names]
        return tuple(found)

    @cached_property
    def documents(self) -> tuple[str, ...]:
        """Markdown files that its strings name."""
        texts = (
            node.value for node in ast.walk(self.tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        )
        return tuple(name for text in texts for name in re.findall(r"[\w/.-]+\.md\b", text))

    def defined(self) -> Iterator[str]:
        """Constants and classes of the module, the private ones left out."""
        for node in self.tree.body:
            if isinstance(node, ast.ClassDef):
                yield node.name
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            yield from (target.id for target in targets if isinstance(target, ast.Name))


@dataclass
class House:
    """All our files, and what is wrong with them."""

    sources: list[Source]
    by_module: dict[str, Source] = field(init=False)

    def __post_init__(self) -> None:
        self.by_module = {f"crystalloop.{source.name.replace('/', '.')}": source for source in self.sources}

    def target(self, module: str, name: str) -> str | None:
        """The file, or else the folder, that an import of ours means; None for one that is not ours."""
        if not module.startswith("crystalloop."):
            return None
        for candidate in (f"{module}.{name}", module):
            if candidate in self.by_module:
                return self.by_module[candidate].file
        return module.removeprefix("crystalloop.").replace(".", "/")

    def forbidden_imports(self) -> Iterator[str]:
        for source in self.sources:
            for module, name, _ in source.imports:
                if module.startswith("."):
                    yield f"{source.file} -> a relative import"
                top = module.partition(".")[0]
                if top in FLOORS:
                    yield f"{source.file} -> {module} without crystalloop"
                target = self.target(module, name)
                if target is not None and not may_import(source.file, target):
                    yield f"{source.file} -> {target}"
                if top in HEAVY and not _among(source.name, HEAVY[top].split()):
                    yield f"{source.file} -> {top}"

    def private_imports(self) -> Iterator[str]:
        for source in self.sources:
            for module, name, _ in source.imports:
                if module.startswith("crystalloop.") and name.startswith("_") and not name.startswith("__"):
                    yield f"{source.file}: {name} of {module} is private"

    def circles(self) -> Iterator[str]:
        """Files that import each other, at the top or late, as one sentence."""
        arrows = {
            source.file: {
                found
                for module, name, for_types in source.imports
                if not for_types and (found := self.target(module, name)) is not None
            }
            for source in self.sources
        }
        yield from ("circle: " + ", ".join(sorted(knot)) for knot in knots(arrows))

    def too_full(self) -> Iterator[str]:
        rooms = Counter(source.room for source in self.sources if not source.file.endswith("__init__.py"))
        yield from (f"{room}: {count} files" for room, count in rooms.items() if count > MOST_FILES)

    def too_long(self) -> Iterator[str]:
        for source in self.sources:
            lines = source.text.count("\n")
            if lines > MOST_LINES:
                yield f"{source.file}: more than {MOST_LINES} lines"

    def twice_defined(self) -> Iterator[str]:
        rooms: defaultdict[str, set[str]] = defaultdict(set)
        for source in self.sources:
            for name in source.defined():
                if len(name) > 1 and not name.startswith("_") and name not in ONE_EACH:
                    rooms[name].add(source.room)
        yield from (f"{name} in {', '.join(sorted(where))}" for name, where in rooms.items() if len(where) > 1)

    def unsourced(self) -> Iterator[str]:
        """Docstrings that name a document which is not in the repository."""
        for source in self.sources:
            yield from (f"{source.file} names {name}" for name in source.documents if not (ROOT / name).is_file())

    def complaints(self) -> set[str]:
        checks = (
            self.forbidden_imports,
            self.private_imports,
            self.circles,
            self.too_full,
            self.too_long,
            self.twice_defined,
            self.unsourced,
        )
        return {complaint for check in checks for complaint in check()}


ONE_EACH = frozenset({"log", "logger"})
"""Names that every file may have for itself."""


def _among(name: str, places: Iterable[str]) -> bool:
    return any(name == place or name.startswith(f"{place}/") for place in places)


def row_of(file: str) -> str:
    """The row of the table that a file stands under: its room, else the room that its room is in."""
    place = file.rpartition("/")[0]
    while place and place not in MAY_IMPORT:
        place = place.rpartition("/")[0]
    return place


def may_import(file: str, target: str) -> bool:
    """Whether the table lets a file import another file, or a room."""
    own = row_of(file)
    if not own:
        return False
    floor = file.partition("/")[0]
    allowed = [own]
    for word in MAY_IMPORT[own].split():
        if word == "*":
            return True
        allowed.append(word if word in FLOORS or f"{floor}/{word}" not in MAY_IMPORT else f"{floor}/{word}")
    # A room inside a room is another room: its own row decides who may enter.
    return any(
        row_of(target if target.endswith(".py") else f"{target}/x") == one or target == one for one in allowed
    ) or any(one in FLOORS and target.startswith(f"{one}/") for one in allowed)


def knots(arrows: dict[str, set[str]]) -> Iterator[set[str]]:
    """The files that lie on circles of imports, or between two: what is left when files at the end of arrows are taken away."""
    left = {file: {to for to in targets if to in arrows} for file, targets in arrows.items()}
    for turned in (False, True):
        while ends := [file for file, targets in left.items() if not targets]:
            for file in ends:
                del left[file]
            left = {file: targets - set(ends) for file, targets in left.items()}
        back: dict[str, set[str]] = {file: set() for file in left}
        for file, targets in left.items():
            for target in targets:
                back[target].add(file)
        left = back if not turned else left
    if left:
        yield set(left)


def read_house() -> House:
    files = sorted(path for floor in FLOORS for path in (ROOT / floor).rglob("*.py"))
    return House([Source(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in files])


HOUSE = read_house()


def test_no_two_files_of_tests_have_one_name():
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert not [
        name for name, count in names.items() if count > 1
    ]  # without __init__.py pytest takes one for the other


def test_the_law_holds_but_for_the_named_exceptions():
    assert HOUSE.complaints() == EXCEPTIONS


CRYSTAL, VOXELS, RELAX, POLICY = (
    "models/crystals/crystal.py",
    "models/maps/voxels.py",
    "dft/relax/relax.py",
    "orchestrator/loop/policy.py",
)
RECORDS, STORE, VALUES = "db/ledger/records.py", "db/ledger/store.py", "db/embedded/engine/values.py"
PLANTED = [
    (VOXELS, "import ray", f"{VOXELS} -> ray"),
    (VOXELS, "import keras", f"{VOXELS} -> keras"),
    ("models/nets/vae.py", "import tensorflow", "models/nets/vae.py -> tensorflow"),
    (VOXELS, "import models.nets", f"{VOXELS} -> models.nets without crystalloop"),
    (VOXELS, "def f():\n    from crystalloop.models.nets import vae", f"{VOXELS} -> models/nets/vae.py"),
    (CRYSTAL, "from crystalloop.db.ledger import records", f"{CRYSTAL} -> {RECORDS}"),
    (RELAX, "from crystalloop.models.maps import voxels", f"{RELAX} -> {VOXELS}"),
    (RELAX, "import subprocess", f"{RELAX} -> subprocess"),
    (RECORDS, "from crystalloop.orchestrator.loop import policy", f"{RECORDS} -> {POLICY}"),
    (STORE, "from . import mongo", f"{STORE} -> a relative import"),
    (VALUES, "from crystalloop.db.embedded import wire", f"{VALUES} -> db/embedded/wire.py"),
    (POLICY, "from crystalloop.dft.relax import relax", f"{POLICY} -> {RELAX}"),
    (POLICY, "import fireworks", f"{POLICY} -> fireworks"),
    (CRYSTAL, "from crystalloop.models.crystals.elements import _x", f"{CRYSTAL}: _x of crystalloop"),
    (CRYSTAL, "class MongoStore: ...", "MongoStore in db/ledger, models/crystals"),
    (CRYSTAL, '"""See science.md."""', f"{CRYSTAL} names science.md"),
    (CRYSTAL, "\n" * 300, f"{CRYSTAL}: more than 300 lines"),
    (
        "models/crystals/elements.py",
        "from crystalloop.models.crystals.crystal import Crystal",
        f"circle: {CRYSTAL}, models/crystals/elements.py",
    ),
]


@pytest.mark.parametrize(("file", "planted", "complaint"), PLANTED)
def test_what_is_planted_is_found(file, planted, complaint):
    sources = [
        Source(source.file, f"{source.text}\n{planted}\n") if source.file == file else source
        for source in HOUSE.sources
    ]
    assert any(one.startswith(complaint) for one in House(sources).complaints() - HOUSE.complaints())


def test_a_room_of_thirteen_files_is_found():
    more = [Source(f"db/query/file_{number}.py", '"""One."""\n') for number in range(13)]
    assert any(one.startswith("db/query: ") for one in House([*HOUSE.sources, *more]).too_full())


def test_every_row_of_the_tables_names_a_room_that_exists():
    rooms = set(MAY_IMPORT)
    assert {room for room in rooms if not (ROOT / room).is_dir()} == set()
    for room, words in MAY_IMPORT.items():
        floor = room.partition("/")[0]
        assert {w for w in words.split() if w not in {*FLOORS, "*", *rooms} and f"{floor}/{w}" not in rooms} == set()
    assert {source.room for source in HOUSE.sources} - rooms - set(FLOORS) == set()


def test_every_file_says_what_lives_in_it():
    assert [source.file for source in HOUSE.sources if not ast.get_docstring(source.tree)] == []


def test_a_room_exports_nothing_in_its_init():
    rooms = [source for source in HOUSE.sources if source.file.endswith("__init__.py")]
    assert [source.file for source in rooms if len(source.tree.body) > 1] == []


def test_nothing_listens_on_every_interface():
    everywhere = ".".join("0000").encode()
    roots = [*(ROOT / floor for floor in FLOORS), ROOT / "campaigns", ROOT / "scripts"]
    files = [ROOT / "cluster.yaml", *(path for root in roots for path in root.rglob("*") if path.is_file())]
    named = {path: path.read_bytes() for path in files if path.suffix in {".py", ".yaml", ".sh"}}
    assert [path.name for path, text in named.items() if everywhere in text] == []
