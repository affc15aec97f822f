"""The file of a table -> its lines as text: gzip, UTF-8, and limits that keep hostile files small. What lines mean: tables."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from crystalloop.models.data.problems import DataError

MOST_CHARACTERS = 8 * 2**20
"""Of one row; beyond it no crystal lies in a row, and a parsed row takes ten times its text."""
MOST_WHOLE = 32 * 2**20
"""Of a file that is read at once; parsed it takes ten times as much."""
_MOST_EMPTY = 1_000_000  # empty lines in a row
_MOST_SKIPPED = 128 * 2**20  # characters of a line that is too long
_FREE_BYTES, _MOST_EXPANDED = 32 * 2**20, 250  # tables in JSON and CSV shrink by 10 to 60


class LineError(ValueError):
    """One line that cannot be used; the next one can be asked for."""


class TextLines:
    """The lines of a file, in order, ends included; counts them, and the characters of the row that they make.

    Iterating raises LineError at a line that is too long or cut off, and goes on behind it.

    Attributes:
        number: lines read so far.
        row_characters: of the lines since the caller set it to 0.
    """

    def __init__(self, path: Path, text: io.TextIOWrapper) -> None:
        self.number = 0
        self.row_characters = 0
        self._path, self._text = path, text
        self._empty = 0
        self._cut = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self.number += 1
        line = "" if self._cut else self._readline()
        if not line:
            raise StopIteration
        self.row_characters += len(line)
        if self.row_characters > MOST_CHARACTERS:
            if len(line) > MOST_CHARACTERS:
                self._skip_line()
            raise LineError(f"a row of more than {MOST_CHARACTERS // 2**20} MB is no crystal; is a quote not closed?")
        self._empty = 0 if line.strip() else self._empty + 1
        if self._empty > _MOST_EMPTY:
            raise DataError(f"{self._path}: {self._empty:,} empty lines in a row; give the table alone")
        if "\0" in line:
            raise DataError(f"{self._path} is not UTF-8 (a byte is zero, as in UTF-16); save it as UTF-8")
        return line

    def whole(self) -> str:
        """The whole text at once, of a file that is one document.

        Raises:
            DataError: it is longer than one document may be, damaged or not UTF-8.
        """
        try:
            text = self._checked(self._text.read, MOST_WHOLE + 1)
        except LineError as error:
            raise DataError(f"{self._path}: {error}") from error
        if len(text) > MOST_WHOLE:
            raise DataError(
                f"{self._path} is one document of more than {MOST_WHOLE // 2**20} MB; write it as .jsonl, one object a line"
            )
        if "\0" in text:
            raise DataError(f"{self._path} is not UTF-8 (a byte is zero, as in UTF-16); save it as UTF-8")
        return text

    def _readline(self) -> str:
        return self._checked(self._text.readline, MOST_CHARACTERS + 1)

    def _checked(self, read: Callable[[int], str], most: int) -> str:
        try:
            return read(most)
        except EOFError as error:
            self._cut = True
            raise LineError("the compressed file ends too early; fetch it again") from error
        except UnicodeDecodeError as error:
            byte = error.object[error.start]
            packed = ", or fetch it again if it was" if self._path.suffix.lower() == ".gz" else ""
            raise DataError(
                f"{self._path} is not UTF-8 (byte 0x{byte:02x} in or after line {self.number}); save it as UTF-8{packed}"
            ) from error
        except (zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"{self._path}: damaged ({error}); fetch it again") from error
        except OSError as error:
            raise DataError(f"{self._path} cannot be read ({error.strerror or error})") from error

    def _skip_line(self) -> None:
        skipped = 0
        while (piece := self._readline()) and not piece.endswith(("\n", "\r")):
            skipped += len(piece)
            if skipped > _MOST_SKIPPED:
                raise DataError(
                    f"{self._path} line {self.number} goes on for more than {skipped:,} characters: no table"
                )


@contextmanager
def text_lines(path: Path, *, newline: str | None = None) -> Iterator[TextLines]:
    """The lines of a file, unpacked where its name ends in .gz; a byte order mark is no part of them.

    Args:
        path: of the file.
        newline: as `open` takes it.

    Raises:
        DataError: not to be opened, no gzip, not UTF-8, damaged, or far larger than its compressed form: here or while
            lines are read.
    """
    try:
        raw = path.open("rb")
    except (OSError, ValueError) as error:
        what = getattr(error, "strerror", None) or error
        raise DataError(f"{path} cannot be read ({what}); check its name and its mode") from error
    with raw:
        packed = path.name.lower().endswith(".gz")
        stream: io.RawIOBase | BinaryIO = raw
        _refuse_other(path, raw, packed=packed)
        if packed:
            stream = io.BufferedReader(_Unpacked(path, raw), 2**17)
        yield TextLines(path, io.TextIOWrapper(stream, encoding="utf-8-sig", newline=newline))  # type: ignore[arg-type]


def _refuse_other(path: Path, raw: BinaryIO, *, packed: bool) -> None:
    start = raw.read(4)
    raw.seek(0)
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"{path} is not UTF-8 but UTF-16 (by its byte order mark); save it as UTF-8")
    if start[:2] == b"\x1f\x8b" and not packed:
        raise DataError(f"{path} is compressed by gzip; name it {path.name}.gz")
    if packed and start and start[:2] != b"\x1f\x8b":
        raise DataError(f"{path} is not compressed by gzip; name it {path.name[:-3]}")


class _Unpacked(io.RawIOBase):
    """The bytes of a gzip file, as long as they stay in proportion to the compressed ones."""

    def __init__(self, path: Path, raw: BinaryIO) -> None:
        super().__init__()
        self._path, self._raw, self._out = path, raw, 0
        self._unpacked = gzip.GzipFile(fileobj=raw)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._unpacked.read1(len(buffer))
        buffer[: len(data)] = data
        self._out += len(data)
        if self._out > _FREE_BYTES and self._out > _MOST_EXPANDED * self._raw.tell():
            raise DataError(
                f"{self._path} unpacks to more than {_MOST_EXPANDED} times its size: no table of crystals; unpack it and look"
            )
        return len(data)
