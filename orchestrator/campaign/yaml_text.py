"""The text of a campaign file -> plain values with their lines, strictly. What the keys mean is not known here: read, spec.

Values are those of YAML 1.2: `No`, `Y`, `yes` and `on` are words (nobelium, yttrium; keys that are true or false take them),
1:30 and dates are words, 1e5 is a number. What can be read in two ways is refused, and nothing of the text runs or grows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_MOST_BYTES = 512 * 1024
MOST_VALUES = 100_000
"""Values of a file, those that aliases repeat included."""
DEEPEST = 24
MOST_DIGITS = 40

KeyPath = tuple[str | int, ...]
"""Keys and positions from the top of the file to a value."""

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*(_[0-9]+)*)")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?([0-9]+(_[0-9]+)*(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9_]+")
_OUTSIDE = {".inf": float("inf"), "+.inf": float("inf"), "-.inf": float("-inf"), ".nan": float("nan")}
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None, "~": None, "": None}
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_CORE_TAGS = {"!", "tag:yaml.org,2002:str"}
_MARKS = {codec: mark.encode(codec) for codec, mark in (("utf-32-le", "\ufeff"), ("utf-32-be", "\ufeff"))} | {
    "utf-16-le": b"\xff\xfe",
    "utf-16-be": b"\xfe\xff",
}


class TextError(ValueError):
    """A text that is no campaign file; `line` is where, from 1, None for the whole of it."""

    def __init__(self, said: str, line: int | None = None) -> None:
        super().__init__(said)
        self.line = line


@dataclass(frozen=True)
class Written:
    """What a text holds.

    Attributes:
        value: tables, lists, texts, numbers, true, false and None.
        lines: line of each key and list item, from 1.
        texts: numbers, and words such as `~`, as they are written; quoted texts are not among them.
    """

    value: Any
    lines: dict[KeyPath, int]
    texts: dict[KeyPath, str]

    def line_of(self, place: KeyPath) -> int | None:
        """Line of a place, or of the nearest one around it that the text has."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place)


def text_of(path: Path) -> str:
    """The text of a file.

    Raises:
        OSError: it cannot be read.
        TextError: too large, or not UTF-8.
    """
    with path.open("rb") as file:
        raw = file.read(_MOST_BYTES + 1)
    if len(raw) > _MOST_BYTES:
        raise TextError(
            f"more than {_MOST_BYTES // 1024} kB: no campaign file is that long; data files stand under `data`"
        )
    for codec, mark in _MARKS.items():
        if raw.startswith(mark):
            raise TextError(f"not a text file in UTF-8, but in {codec[:6].upper()}: save it as UTF-8")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise TextError(
            f"not a text file in UTF-8 (byte {error.start} is 0x{raw[error.start]:02x}): save it as UTF-8", line
        ) from error


def parse_yaml(text: str) -> Written:
    """The one document of a text.

    Raises:
        TextError: not YAML, or YAML that a campaign file has no use for: a key twice, tags, several documents, what is
            nested or repeated beyond all need.
    """
    if found := _CONTROL.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise TextError(f"a character that text has not (code {ord(found[0]):#x}): remove it", line)
    try:
        return _Builder(_events(text)).document()
    except yaml.YAMLError as error:
        raise _not_yaml(text, error) from error


def _not_yaml(text: str, error: yaml.YAMLError) -> TextError:
    mark: Any = getattr(error, "problem_mark", getattr(error, "context_mark", None))
    line = None if mark is None else mark.line
    problem = str(getattr(error, "problem", None) or error).splitlines()[0]
    if "\\t" in problem or (mark is not None and _tab_at(text, mark)):
        problem = "a tab stands where YAML wants spaces"
    return TextError(f"not valid YAML: {problem}", None if line is None else line + 1)


def _events(text: str) -> Iterator[Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return iter(yaml.parse(text, Loader=loader))


def _tab_at(text: str, mark: Any) -> bool:  # noqa: ANN401  (one of yaml's two kinds of marks)
    lines = text.split("\n")
    return mark.line < len(lines) and "\t" in lines[mark.line][: mark.column + 1]


@dataclass(frozen=True)
class _Node:
    """A value with its line, how many values it is, and its parts' nodes (tables and lists)."""

    value: Any
    line: int
    size: int = 1
    parts: dict[str | int, _Node] = field(default_factory=dict)
    text: str | None = None


class _Builder:
    """Values out of a parser's events; its depth and size are bounded."""

    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events
        self._anchors: dict[str, _Node] = {}
        self._open: set[str] = set()

    def document(self) -> Written:
        root: _Node | None = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    raise TextError("a second document begins; a file holds one campaign", _line(event))
                root = self._node(next(self._events), 0)
        if root is None:
            root = _Node(None, 1)
        lines: dict[KeyPath, int] = {}
        texts: dict[KeyPath, str] = {}
        _note(root, (), lines, texts)
        return Written(root.value, lines, texts)

    def _node(self, event: Any, depth: int) -> _Node:  # noqa: ANN401
        line = _line(event)
        if depth > DEEPEST:
            raise TextError(f"nested more than {DEEPEST} deep", line)
        if isinstance(event, yaml.AliasEvent):
            return self._repeated(str(event.anchor), line)
        if event.tag is not None and event.tag not in _CORE_TAGS:
            raise TextError(f"the tag {_tag(event.tag)} is not for campaign files; write the value alone", line)
        anchor = event.anchor
        if anchor:
            self._open.add(anchor)
        if isinstance(event, yaml.ScalarEvent):
            node = _scalar(event, line)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(line, depth)
        else:
            node = self._mapping(line, depth)
        if node.size > MOST_VALUES:
            raise TextError(f"more than {MOST_VALUES} values, with what its aliases repeat", line)
        if anchor:
            self._open.discard(anchor)
            self._anchors[anchor] = node
        return node

    def _repeated(self, anchor: str, line: int) -> _Node:
        if anchor in self._open:
            raise TextError(f"*{anchor} stands inside what it repeats", line)
        if anchor not in self._anchors:
            raise TextError(f"*{anchor} repeats what no &{anchor} before it names", line)
        known = self._anchors[anchor]
        return _Node(known.value, line, known.size, known.parts, known.text)

    def _sequence(self, line: int, depth: int) -> _Node:
        items: list[_Node] = []
        size = 1
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, depth + 1))
            size += items[-1].size
            _bound(size, line)
        return _Node([item.value for item in items], line, size, dict(enumerate(items)))

    def _mapping(self, line: int, depth: int) -> _Node:
        own: dict[str | int, _Node] = {}
        merged: dict[str | int, _Node] = {}
        size = 1
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key, key_line = self._key(event, depth)
            node = self._node(next(self._events), depth + 1)
            size += node.size
            _bound(size, line)
            if key == "<<":
                merged = self._merged(node, key_line) | merged
                continue
            if key in own:
                raise TextError(
                    f"the key {_short(key)!r} stands twice (first on line {own[key].line}): one would be lost; "
                    "leave one of them out",
                    key_line,
                )
            own[key] = _Node(node.value, key_line, node.size, node.parts, node.text)
        parts = merged | own
        return _Node({key: node.value for key, node in parts.items()}, line, size, parts)

    def _key(self, event: Any, depth: int) -> tuple[str, int]:  # noqa: ANN401
        """A key as text, whatever it looks like: 1, true, on."""
        node = self._node(event, depth + 1)
        if node.parts or isinstance(node.value, list | dict):
            raise TextError("a key must be a word, not a table or a list", node.line)
        return (node.text if node.text is not None else str(node.value)), node.line

    @staticmethod
    def _merged(node: _Node, line: int) -> dict[str | int, _Node]:
        """The keys that `<<` brings: those of a table, or of several, the first counting."""
        tables = list(node.parts.values()) if isinstance(node.value, list) else [node]
        found: dict[str | int, _Node] = {}
        for table in tables:
            if not isinstance(table.value, dict):
                raise TextError("<< takes a table, or a list of tables, such as *name", line)
            found = table.parts | found
        return {key: _Node(part.value, line, part.size, part.parts, part.text) for key, part in found.items()}


def _line(event: Any) -> int:  # noqa: ANN401
    return int(event.start_mark.line) + 1


def _bound(size: int, line: int) -> None:
    if size > MOST_VALUES:
        raise TextError(f"more than {MOST_VALUES} values, with what its aliases repeat", line)


def _scalar(event: Any, line: int) -> _Node:  # noqa: ANN401
    text: str = event.value
    if event.tag is not None or not event.implicit[0]:
        return _Node(text, line)
    if text.lower() in _WORDS:
        return _Node(_WORDS[text.lower()], line, text=text)
    number = _number(text, line)
    return _Node(text, line, text=text) if number is None else _Node(number, line, text=text)


def _number(text: str, line: int) -> int | float | None:
    """The number that an unquoted word is, if it is one in every reading."""
    if len(text) > MOST_DIGITS and re.fullmatch(r"[-+]?[0-9._]+([eE][-+]?[0-9]+)?", text):
        raise TextError(f"a number of {len(text)} characters: {text[:12]}...; no key takes one", line)
    if text.lower() in _OUTSIDE:
        return _OUTSIDE[text.lower()]
    if _LEADING_ZERO.fullmatch(text):
        return None  # 010 is 8 to some and 10 to others: a word, which no key for numbers takes
    if _INTEGER.fullmatch(text):
        return int(text)
    if _HEXADECIMAL.fullmatch(text):
        return int(text, 16)
    return float(text) if _FLOAT.fullmatch(text) else None


def _note(node: _Node, place: KeyPath, lines: dict[KeyPath, int], texts: dict[KeyPath, str]) -> None:
    lines[place] = node.line
    if node.text is not None:
        texts[place] = node.text
    for key, part in node.parts.items():
        _note(part, (*place, key), lines, texts)


def _tag(tag: str) -> str:
    return _short(tag.replace("tag:yaml.org,2002:", "!!"))


def _short(text: object) -> str:
    shown = str(text)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
