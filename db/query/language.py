"""The one grammar of conditions: `e_f < -1.5 eV/atom and formula = LiF` becomes a tree. Pure; nothing is asked here.

    query      = every ("or" every)*
    every      = term (("and" | ",") term)*
    term       = "not" term | "(" query ")" | comparison
    comparison = field ("=" | "!=" | "<" | "<=" | ">" | ">=") value | field ["not"] "in" (set | range)
    set        = "(" value ("," value)* ")"
    range      = number ".." number [unit], ends included
    value      = number [unit] | word | 'quoted text' | null

`==`, and the signs of print for <=, >=, != and minus are understood, and AND, OR, NOT, IN, NULL in capitals.
`results --where`, `generate --target` and the `where:` of a data file are written in it. Which fields there are is said
by the vocabulary of each. Values are only ever compared, and there are no other operators: whatever the text says, it
cannot run code or write.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite

from crystalloop.db.query.conditions import (
    Among,
    Between,
    Compared,
    Condition,
    Constant,
    Field,
    Joined,
    Not,
    QueryError,
    UnknownField,
    Vocabulary,
)
from crystalloop.db.query.nearest import nearest

SIGNS = ("=", "!=", "<", "<=", ">", ">=")
RESERVED = {"and", "or", "not", "in", "null"}
_MOST_CHARACTERS = 10_000
DEEPEST_CONDITION = 50
_LARGEST = 2**63
_MINUS = r"\-\u2212\u2013"
_SAME = {"==": "=", "\u2264": "<=", "\u2265": ">=", "\u2260": "!="}
_NUMBER = rf"[+{_MINUS}]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+{_MINUS}]?\d+)?"
_RANGE = re.compile(rf"(?P<low>{_NUMBER})\s*\.\.\s*(?P<high>{_NUMBER})(?![\w.:/%+-])", re.ASCII)
_UNITS = "(?:meV|eV|Ry|Ha|GPa|MPa|TPa|kbar|Mbar|nm|pm|bohr|ang|ms|min)"
_TOKEN = re.compile(
    rf"""\s*(?:(?P<number>{_NUMBER}(?:(?![\w.:])|(?={_UNITS}(?![\w.:]))))
      | (?P<operator><=|>=|!=|==|=|<|>|[\u2264\u2265\u2260]) | (?P<mark>[(),]) | '(?P<single>[^']*)' | "(?P<double>[^"]*)"
      | (?P<word>[\w.%][\w.:/%+-]*) | (?P<wrong>\S))""",
    re.VERBOSE,
)


def parse(text: str, vocabulary: Vocabulary) -> Condition:
    """The tree of a condition; an empty text holds always.

    Raises:
        QueryError: an unknown field, a value of the wrong type, unit or size, one that the field never has, or a form
            that is not in the grammar.
    """
    if len(text) > _MOST_CHARACTERS:
        raise QueryError(f"a condition of {len(text)} characters; {_MOST_CHARACTERS} are the most", text, "here", 0)
    return _Parser(text, vocabulary).condition()


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    at: int


def _token(kind: str, match: re.Match[str]) -> _Token:
    """A token in the words of the grammar, whatever signs or capitals it is written in."""
    text = match[kind]
    if kind == "number":
        text = re.sub(f"[{_MINUS}]", "-", text)
    elif kind == "operator":
        text = _SAME.get(text, text)
    elif kind == "word" and text.isupper() and text.lower() in RESERVED:
        text = text.lower()
    return _Token(kind, text, match.start(kind))


class _Parser:
    """Recursive descent over the grammar of the module's docstring."""

    def __init__(self, text: str, vocabulary: Vocabulary) -> None:
        self._text, self._vocabulary = text, vocabulary
        found = (match for match in _TOKEN.finditer(text) if match.lastgroup)
        self._tokens = [_token(match.lastgroup or "", match) for match in found]
        self._next = self._depth = 0
        self._form: int | None = None  # end of the name of the comparison that is being read

    def condition(self) -> Condition:
        if not self._tokens:
            return Joined("and", ())
        tree = self._query()
        if self._peek().kind != "end":
            raise self._error(self._peek(), "expected `and`, `or` or the end")
        return tree

    def _query(self) -> Condition:
        return self._joined(("or",), self._every)

    def _every(self) -> Condition:
        return self._joined(("and", ","), self._term)

    def _joined(self, words: tuple[str, ...], part: Callable[[], Condition]) -> Condition:
        parts, at = [part()], self._peek().at
        while self._peek().kind in {"word", "mark"} and self._peek().text in words:
            self._next += 1
            parts.append(part())
        return parts[0] if len(parts) == 1 else Joined(words[0], tuple(parts), at)

    def _term(self) -> Condition:
        token = self._peek()
        if self._depth > DEEPEST_CONDITION:
            raise self._error(token, f"nested more than {DEEPEST_CONDITION} deep", form=False)
        self._depth += 1
        if self._accept("word", "not"):
            made: Condition = Not(self._term(), token.at)
        elif self._accept("mark", "("):
            made = self._query()
            self._expect("mark", ")", "expected `)`")
        else:
            made = self._comparison()
        self._depth -= 1
        return made

    def _comparison(self) -> Condition:
        name = self._take()
        field, self._form = self._field(name), name.at + len(name.text)
        not_at = self._peek().at
        negated = self._accept("word", "not")
        if self._accept("word", "in"):
            inside = self._inside(name.text, field)
            made: Condition = Not(inside, not_at) if negated else inside
        else:
            sign = self._take()
            if sign.kind != "operator" or negated:
                raise self._error(sign, f"expected one of {' '.join(SIGNS)} or `in`")
            value_at = self._peek()
            value = self._value(field)
            if value is None and sign.text not in {"=", "!="}:
                raise self._error(value_at, "null can only be compared with = and !=")
            if field.type is str and sign.text not in {"=", "!="} and (field.values or value_at.kind == "number"):
                raise self._error(sign, f"{name.text[:40]} is a text: compare it with =, != or in", form=False)
            made = Compared(field, name.text, sign.text, value, value_at.at)
        self._form = None
        return made

    def _inside(self, name: str, field: Field) -> Among | Between:
        """What stands after `in`: a range of a quantity, or a set."""
        start = self._peek()
        match = None if field.type is str else _RANGE.match(self._text, start.at)
        if match is None:
            return Among(field, name, self._set(field), start.at)
        ends = [float(re.sub(f"[{_MINUS}]", "-", match[end])) for end in ("low", "high")]
        while self._peek().kind != "end" and self._peek().at < match.end():
            self._next += 1
        if ends[0] > ends[1]:
            said = f"the range {match['low']}..{match['high']} is empty; write the smaller end first"
            raise self._error(start, said, form=False)
        factor = self._unit(field)
        low, high = (self._stored(field, name, end * factor, start) for end in ends)
        return Between(field, name, low, high, start.at)

    def _set(self, field: Field) -> tuple[Constant, ...]:
        ranges = "" if field.type is str else " or a range LOW..HIGH"
        self._expect("mark", "(", f"expected `(`{ranges} after in")
        values = [self._value(field)]
        while self._accept("mark", ","):
            values.append(self._value(field))
        self._expect("mark", ")", "expected `,` or `)`")
        return tuple(values)

    def _field(self, token: _Token) -> Field:
        if token.kind != "word" or token.text in RESERVED:
            self._form = token.at
            raise self._error(token, "expected the name of a field")
        try:
            return self._vocabulary(token.text)
        except UnknownField as error:
            raise self._error(token, str(error), form=False) from None

    def _value(self, field: Field) -> Constant:
        name = self._tokens[self._next - 2].text if self._next >= 2 else ""
        token = self._take()
        if token.kind == "word" and token.text == "null":
            return None
        if field.type is str or (field.type is None and token.kind != "number"):
            return self._word(field, token)
        if token.kind != "number":
            unit = f" in {field.unit}" if field.unit else ""
            raise self._error(token, f"expected a number{unit}")
        number = self._stored(field, name, float(token.text) * self._unit(field), token)
        if field.type is int:
            if not number.is_integer():
                raise self._error(token, "expected a whole number")
            return int(number)
        return number

    def _word(self, field: Field, token: _Token) -> str:
        if token.text in {"'", '"'} and token.kind == "wrong":
            raise self._error(token, "this quote has no end", form=False)
        if token.kind not in {"word", "single", "double", "number"} or (
            token.kind == "word" and token.text in RESERVED
        ):
            raise self._error(token, "expected a value")
        if field.values and token.text not in field.values:
            few = f"there are {', '.join(field.values)}" if len(field.values) < 20 else "it is a symbol, such as Na"
            raise self._error(token, nearest(token.text, field.values) or few, form=False)
        return token.text

    def _stored(self, field: Field, name: str, value: float, token: _Token) -> float:
        """The number as the field has it."""
        if not isfinite(value) or abs(value) >= _LARGEST:
            raise self._error(token, "a number beyond what any field holds (2^63)", form=False)
        try:
            stored = value if field.convert is None else field.convert(value)
        except (ValueError, OverflowError) as error:
            raise self._error(token, f"{name} = {error}", form=False) from None
        if not isfinite(stored):
            raise self._error(token, "a number beyond what any field holds", form=False)
        return stored

    def _unit(self, field: Field) -> float:
        """The unit that stands next, if one does: how much it is in the field's own."""
        token = self._peek()
        if token.kind != "word" or token.text in RESERVED:
            return 1.0
        if token.text != field.unit and token.text not in field.units:
            others = [unit for unit in field.units if unit != field.unit]
            also = f"; also {', '.join(others)}" if others else ""
            said = f"the unit is {field.unit}{also}" if field.unit else "this field has no unit"
            raise self._error(token, said, form=False)
        self._next += 1
        return 1.0 if token.text == field.unit else field.units[token.text]

    def _peek(self) -> _Token:
        return self._tokens[self._next] if self._next < len(self._tokens) else _Token("end", "", len(self._text))

    def _take(self) -> _Token:
        token = self._peek()
        self._next += 1
        return token

    def _accept(self, kind: str, text: str) -> bool:
        token = self._peek()
        if found := (token.kind, token.text) == (kind, text):
            self._next += 1
        return found

    def _expect(self, kind: str, text: str, message: str) -> None:
        if not self._accept(kind, text):
            raise self._error(self._peek(), message)

    def _error(self, token: _Token, said: str, *, form: bool = True) -> QueryError:
        shown = token.text if len(token.text) <= 40 else f"{token.text[:37]}..."
        what = f"{shown!r}" if token.kind != "end" else "the end"
        return QueryError(said, self._text, what, token.at, self._form if form else None)
