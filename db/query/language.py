"""The one grammar of conditions: `e_f < -1.5 eV/atom and formula = LiF` becomes a tree. Pure; nothing is asked here.

    query      = every ("or" every)*
    every      = term (("and" | ",") term)*
    term       = "not" term | "(" query ")" | comparison
    comparison = field ("=" | "!=" | "<" | "<=" | ">" | ">=") value | field ["not"] "in" (set | range)
    set        = "(" value ("," value)* ")"
    range      = number ".." number [unit], ends included
    value      = number [unit] | word | 'quoted text' | null

`results --where`, `generate --target` and the `where:` of a data file are written in it. Which fields there are is said
by the vocabulary of each. Values are only ever compared, and there are no other operators: whatever the text says, it
cannot run code or write.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

SIGNS = ("=", "!=", "<", "<=", ">", ">=")
RESERVED = {"and", "or", "not", "in", "null"}
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"(?P<low>{_NUMBER})\s*\.\.\s*(?P<high>{_NUMBER})(?![\w.:/%+-])")
_TOKEN = re.compile(
    rf"""\s*(?:(?P<number>{_NUMBER}(?![\w.:]))
      | (?P<operator><=|>=|!=|=|<|>) | (?P<mark>[(),]) | '(?P<single>[^']*)' | "(?P<double>[^"]*)"
      | (?P<word>[\w.%][\w.:/%+-]*) | (?P<wrong>\S))""",
    re.VERBOSE,
)


class QueryError(ValueError):
    """The condition cannot be read; the message shows where and what would be understood.

    Attributes:
        said: what is wrong.
        at: place in the text, from 0.
        form: place from which on the text has none of the grammar's forms; None where another thing is wrong.
    """

    exit_kind = "usage"

    def __init__(self, said: str, text: str, what: str, at: int, form: int | None = None) -> None:
        super().__init__(f"{said}\n  {text}\n  {' ' * at}^ {what}, character {at + 1}")
        self.said, self.at, self.form = said, at, form


class UnknownField(ValueError):
    """A vocabulary has no field of a name; the message says which names it has."""


Constant = str | int | float | None


@dataclass(frozen=True)
class Field:
    """A field that can be asked for: where it is stored, its type and, for quantities, its unit.

    The type is None where any number or word may stand.
    """

    path: str
    type: type[str] | type[int] | type[float] | None
    unit: str = ""


Vocabulary = Callable[[str], Field]
"""Name -> field; raises UnknownField."""


@dataclass(frozen=True)
class Compared:
    """A field, one of SIGNS, a value. `name` is the field as written, `at` the place of the value."""

    field: Field
    name: str
    sign: str
    value: Constant
    at: int


@dataclass(frozen=True)
class Among:
    """A field that has one of the values."""

    field: Field
    name: str
    values: tuple[Constant, ...]
    at: int


@dataclass(frozen=True)
class Between:
    """A field within a range, ends included."""

    field: Field
    name: str
    low: float
    high: float
    at: int


@dataclass(frozen=True)
class Not:
    """What does not hold. `at` is the place of the word."""

    inner: Condition
    at: int


@dataclass(frozen=True)
class Joined:
    """Conditions joined by `and` or `or`; without any, everything holds. `at` is the place of the first joint."""

    word: str
    parts: tuple[Condition, ...]
    at: int = 0


Condition = Compared | Among | Between | Not | Joined


def parse(text: str, vocabulary: Vocabulary) -> Condition:
    """The tree of a condition; an empty text holds always.

    Raises:
        QueryError: an unknown field, a value of the wrong type or unit, or a form that is not in the grammar.
    """
    return _Parser(text, vocabulary).condition()


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    at: int


class _Parser:
    """Recursive descent over the grammar of the module's docstring."""

    def __init__(self, text: str, vocabulary: Vocabulary) -> None:
        self._text, self._vocabulary = text, vocabulary
        found = (match for match in _TOKEN.finditer(text) if match.lastgroup)
        self._tokens = [
            _Token(match.lastgroup or "", match[match.lastgroup or 0], match.start(match.lastgroup or 0))
            for match in found
        ]
        self._next = 0
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
        at = self._peek().at
        if self._accept("word", "not"):
            return Not(self._term(), at)
        if self._accept("mark", "("):
            inside = self._query()
            self._expect("mark", ")", "expected `)`")
            return inside
        return self._comparison()

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
            made = Compared(field, name.text, sign.text, value, value_at.at)
        self._form = None
        return made

    def _inside(self, name: str, field: Field) -> Among | Between:
        """What stands after `in`: a range of a quantity, or a set."""
        start = self._peek()
        match = None if field.type is str else _RANGE.match(self._text, start.at)
        if match is None:
            return Among(field, name, self._set(field), start.at)
        low, high = float(match["low"]), float(match["high"])
        while self._peek().kind != "end" and self._peek().at < match.end():
            self._next += 1
        if low > high:
            said = f"the range {match['low']}..{match['high']} is empty; write the smaller end first"
            raise self._error(start, said, form=False)
        self._unit(field)
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
        token = self._take()
        if token.kind == "word" and token.text == "null":
            return None
        if field.type is str or (field.type is None and token.kind != "number"):
            if token.kind not in {"word", "single", "double", "number"} or token.text in RESERVED:
                raise self._error(token, "expected a value")
            return token.text
        if token.kind != "number":
            raise self._error(token, f"expected a number{f' in {field.unit}' if field.unit else ''}")
        self._unit(field)
        number = float(token.text)
        if field.type is int:
            if not number.is_integer():
                raise self._error(token, "expected a whole number")
            return int(number)
        return number

    def _unit(self, field: Field) -> None:
        token = self._peek()
        if token.kind == "word" and token.text not in RESERVED:
            if token.text != field.unit:
                said = f"the unit is {field.unit}" if field.unit else "this field has no unit"
                raise self._error(token, said, form=False)
            self._next += 1

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
        what = f"{token.text!r}" if token.kind != "end" else "the end"
        return QueryError(said, self._text, what, token.at, self._form if form else None)
