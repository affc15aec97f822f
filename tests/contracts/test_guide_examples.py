"""The examples of docs/guide are run as they stand: their files as modules, their test classes as tests of this file."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "guide"
GUIDES = [FOLDER / f"own-{name}.md" for name in ("generator", "policy")]
"""That to an oracle, whose example needs fixtures of its own, is run by test_guide_oracle."""
BLOCK = re.compile(r"^```python\n# (?P<module>\w+)\.py\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


def modules_of(guide: Path) -> list[ModuleType]:
    """The guide's files, imported in the order in which they stand, so that a later one may import an earlier one."""
    made = []
    for block in BLOCK.finditer(guide.read_text(encoding="utf-8")):
        module = ModuleType(block["module"])
        sys.modules[block["module"]] = module
        exec(compile(block["code"], f"{guide.name}: {block['module']}.py", "exec"), vars(module))
        made.append(module)
    return made


FOUND = {
    guide.stem: {
        name: value for module in modules_of(guide) for name, value in vars(module).items() if name[:4] == "Test"
    }
    for guide in GUIDES
}
for classes in FOUND.values():
    globals().update(classes)


@pytest.mark.parametrize(("guide", "holds"), [("own-generator", "TestElementSwap"), ("own-policy", "TestBoltzmann")])
def test_a_guide_has_an_example_that_is_held_to_its_contract(guide, holds):
    assert list(FOUND[guide]) == [holds]
    assert len(FOUND[guide][holds].__mro__) == 3


def test_every_guide_to_something_of_ones_own_is_run():
    assert {guide.name for guide in FOLDER.glob("own-*.md")} == {guide.name for guide in GUIDES} | {"own-oracle.md"}


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_every_python_block_of_a_guide_is_run(guide):
    text = guide.read_text(encoding="utf-8")
    assert text.count("```python") == len(BLOCK.findall(text)) > 0


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_every_file_that_a_guide_links_to_is_there(guide):
    links = re.findall(r"\]\((\.\./[^)#]+)\)", guide.read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (guide.parent / link).is_file()] == []
