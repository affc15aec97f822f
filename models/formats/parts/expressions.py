"""Arithmetic as pw.x reads it in place of a coordinate (`1/2*3^(-1/2)`) -> a number. Nothing is executed."""

from __future__ import annotations

import math
import re

from crystalloop.models.formats.crystal_read import FormatError
from crystalloop.models.formats.parts.words import is_real, real, shown

_TOKEN = re.compile(r"\s*((?:\d+\.?\d*|\.\d+)(?:[eEdD][+-]?\d{1,4})?|sqrt|[-+*/^()])", re.ASCII)
_LONGEST = 100


def value_of(expression: str, what: str) -> float:
    """The value of numbers joined by + - * / ^, parentheses and sqrt.

    -2^2 is -4 and 2^3^2 is 512, as pw.x has it.

    Raises:
        FormatError: anything else, or no finite value.
    """
    if is_real(expression):
        return real(expression, what)
    try:
        value = _Reader(_tokens(expression)).whole()
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise FormatError(f"{what} is {shown(expression)}, expected a number such as 0.25 or 1/3") from error
    if not math.isfinite(value):
        raise FormatError(f"{what} is {shown(expression)}, which has no value")
    return value


def _tokens(expression: str) -> list[str]:
    if len(expression) > _LONGEST:
        raise ValueError("too long")
    found, place = [], 0
    while place < len(expression):
        match = _TOKEN.match(expression, place)
        if match is None:
            raise ValueError(expression[place])
        found.append(match[1])
        place = match.end()
    return found


class _Reader:
    """One pass over the tokens, a method for each rank of operators."""

    def __init__(self, tokens: list[str]) -> None:
        self._left = tokens[::-1]

    def whole(self) -> float:
        value = self._sum()
        if self._left:
            raise ValueError(self._left[-1])
        return value

    def _next(self, *expected: str) -> str:
        return self._left.pop() if self._left and self._left[-1] in expected else ""

    def _sum(self) -> float:
        value = self._product()
        while sign := self._next("+", "-"):
            value += self._product() if sign == "+" else -self._product()
        return value

    def _product(self) -> float:
        value = self._signed()
        while sign := self._next("*", "/"):
            other = self._signed()
            value = value * other if sign == "*" else value / other
        return value

    def _signed(self) -> float:
        if sign := self._next("+", "-"):
            return self._signed() if sign == "+" else -self._signed()
        base = self._atom()
        return math.pow(base, self._signed()) if self._next("^") else base

    def _atom(self) -> float:
        if self._next("sqrt"):
            return math.sqrt(self._bracket())
        if self._left and self._left[-1] == "(":
            return self._bracket()
        if not self._left:
            raise ValueError("ends")
        return real(self._left.pop(), "a number")

    def _bracket(self) -> float:
        if not self._next("("):
            raise ValueError("no bracket")
        value = self._sum()
        if not self._next(")"):
            raise ValueError("not closed")
        return value
