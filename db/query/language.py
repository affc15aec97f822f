"""The query language for results: `e_f < -1.5 eV/atom and formula = LiF` becomes a MongoDB filter. Pure; nothing is asked here.

    query      = every ("or" every)*
    every      = term ("and" term)*
    term       = "not" term | "(" query ")" | comparison
    comparison = field ("=" | "!=" | "<" | "<=" | ">" | ">=") value | field ["not"] "in" "(" value ("," value)* ")"
    value      = number [unit] | word | 'quoted text' | null

Only the fields below can be asked for, values are only ever compared, and there are no other operators: whatever the
text says, it cannot run code or write.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Filter = dict[str, Any]


class QueryError(ValueError):
    """The query cannot be read; the message shows where and what would be understood."""

    exit_kind = "usage"


@dataclass(frozen=True)
class Field:
    """A field that can be asked for: where it is stored, its type and, for quantities, its unit."""

    path: str
    type: type[str] | type[int] | type[float]
    unit: str = ""


FIELDS: dict[str, Field] = {
    "id": Field("_id", str),
    "campaign": Field("campaign", str),
    "kind": Field("kind", str),
    "round": Field("round", int),
    "formula": Field("formula", str),
    "element": Field("crystal.species", str),
    "prototype": Field("prototype", str),
    "state": Field("state", str),
    "reason": Field("reason", str),
    "origin": Field("origin.kind", str),
    "base": Field("origin.bases", str),
    "model_version": Field("origin.model_version", str),
    "score": Field("score", float),
    "e_f": Field("e_f", float, "eV/atom"),
    "e_f_without_d2": Field("e_f_without_d2", float, "eV/atom"),
    "e_above_hull": Field("e_above_hull", float, "eV/atom"),
    "hull_reason": Field("hull_reason", str),
    "e_f_predicted": Field("e_f_predicted", float, "eV/atom"),
    "energy_per_atom": Field("relaxation.energy_per_atom_ev", float, "eV/atom"),
    "a": Field("relaxation.a_ang", float, "ang"),
    "spacegroup": Field("relaxation.spacegroup", int),
    "volume_per_atom": Field("relaxation.volume_per_atom_ang3", float, "ang3/atom"),
    "pressure": Field("relaxation.pressure_kbar", float, "kbar"),
    "fmax": Field("relaxation.fmax_ev_ang", float, "eV/ang"),
    "bond_change": Field("relaxation.bond_change_percent", float, "%"),
    "cell_change": Field("relaxation.cell_change_percent", float, "%"),
    "volume_change": Field("relaxation.volume_change_percent", float, "%"),
    "bulk_modulus": Field("relaxation.bulk_modulus_gpa", float, "GPa"),
    "steps": Field("relaxation.steps", int),
    "cpu": Field("relaxation.cpu_s", float, "s"),
    "wall": Field("relaxation.wall_s", float, "s"),
}
OPERATORS = {"=": "$eq", "!=": "$ne", "<": "$lt", "<=": "$lte", ">": "$gt", ">=": "$gte"}
PREDICTED = "predicted."  # predicted.<property> is the networks' value before DFT, whatever properties they have
RESERVED = {"and", "or", "not", "in", "null"}
_TOKEN = re.compile(
    r"""\s*(?:(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.:]))
      | (?P<operator><=|>=|!=|=|<|>) | (?P<mark>[(),]) | '(?P<single>[^']*)' | "(?P<double>[^"]*)"
      | (?P<word>[\w.%][\w.:/%+-]*) | (?P<wrong>\S))""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    at: int


def parse_query(text: str) -> Filter:
    """The filter document for a query; an empty query matches everything.

    Raises:
        QueryError: an unknown field, a value of the wrong type or unit, or a form that is not in the grammar.
    """
    return _Parser(text).query_document()


class _Parser:
    """Recursive descent over the grammar of the module's docstring."""

    def __init__(self, text: str) -> None:
        self._text = text
        found = (match for match in _TOKEN.finditer(text) if match.lastgroup)
        self._tokens = [
            _Token(match.lastgroup or "", match[match.lastgroup or 0], match.start(match.lastgroup or 0))
            for match in found
        ]
        self._next = 0

    def query_document(self) -> Filter:
        if not self._tokens:
            return {}
        document = self._query()
        if self._peek().kind != "end":
            raise self._error(self._peek(), "expected `and`, `or` or the end")
        return document

    def _query(self) -> Filter:
        return self._joined("or", self._every)

    def _every(self) -> Filter:
        return self._joined("and", self._term)

    def _joined(self, word: str, part: Callable[[], Filter]) -> Filter:
        parts = [part()]
        while self._accept("word", word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else {f"${word}": parts}

    def _term(self) -> Filter:
        if self._accept("word", "not"):
            return {"$nor": [self._term()]}
        if self._accept("mark", "("):
            inside = self._query()
            self._expect("mark", ")", "expected `)`")
            return inside
        return self._comparison()

    def _comparison(self) -> Filter:
        field = self._field(self._take())
        negated = self._accept("word", "not")
        if self._accept("word", "in"):
            return {field.path: {"$nin" if negated else "$in": self._list(field)}}
        operator = self._take()
        if operator.kind != "operator" or negated:
            raise self._error(operator, f"expected one of {' '.join(OPERATORS)} or `in`")
        value_at = self._peek()
        value = self._value(field)
        if value is None and operator.text not in {"=", "!="}:
            raise self._error(value_at, "null can only be compared with = and !=")
        return {field.path: {OPERATORS[operator.text]: value}}

    def _list(self, field: Field) -> list[Any]:
        self._expect("mark", "(", "expected `(` after in")
        values = [self._value(field)]
        while self._accept("mark", ","):
            values.append(self._value(field))
        self._expect("mark", ")", "expected `,` or `)`")
        return values

    def _field(self, token: _Token) -> Field:
        if token.kind != "word" or token.text in RESERVED:
            raise self._error(token, "expected the name of a field")
        if token.text in FIELDS:
            return FIELDS[token.text]
        if re.fullmatch(re.escape(PREDICTED) + r"\w+", token.text):
            return Field(token.text, float)
        near = difflib.get_close_matches(token.text, FIELDS, n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(FIELDS)}, {PREDICTED}<property>"
        raise self._error(token, "unknown field" + hint)

    def _value(self, field: Field) -> Any:  # noqa: ANN401  (str, int, float or None)
        token = self._take()
        if token.kind == "word" and token.text == "null":
            return None
        if field.type is str:
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
                raise self._error(token, f"the unit is {field.unit}" if field.unit else "this field has no unit")
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

    def _error(self, token: _Token, message: str) -> QueryError:
        what = f"{token.text!r}" if token.kind != "end" else "the end"
        return QueryError(f"{message}\n  {self._text}\n  {' ' * token.at}^ {what}, character {token.at + 1}")
