"""The bytes of a file that somebody hands in -> its text, whatever the encoding and line ends; limits of size. No format."""

from __future__ import annotations

import gzip
import io
import os
import stat
import zlib
from pathlib import Path

from crystalloop.models.formats.crystal_read import FormatError

MOST_MB = 20
_MOST_BYTES = MOST_MB * 2**20
_PACKED = {
    b"PK\x03\x04": "a zip archive",
    b"\xfd7zXZ": "packed by xz",
    b"BZh": "packed by bzip2",
    b"\x28\xb5\x2f\xfd": "packed by zstd",
    b"%PDF": "a PDF document",
    b"\x89HDF": "an HDF5 file",
    b"\x89PNG": "a picture",
}
_MARKS = {
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
    b"\xef\xbb\xbf": "utf-8-sig",
}


def text_of_file(file: Path) -> tuple[str, tuple[str, ...]]:
    """The text of a file, its line ends those of Unix, and notes on its encoding. `.gz` is unpacked, up to the same limit.

    Raises:
        FormatError: no file, none that can be read, too large, empty, packed in another way, or no text.
    """
    content = _unpacked(_content(file))
    if not content.strip():
        raise FormatError("is empty")
    text, notes = _decoded(content)
    text = text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\x1a")  # DOS ends a file with Ctrl-Z
    if not text.strip():
        raise FormatError("is empty")
    return text, notes


def _content(file: Path) -> bytes:
    try:
        # A pipe that nobody writes to would be waited for, for ever.
        handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
        with open(handle, "rb") as opened:  # noqa: PTH123
            mode, size = os.fstat(handle).st_mode, os.fstat(handle).st_size
            if stat.S_ISDIR(mode):
                raise FormatError("is a folder")
            if not stat.S_ISREG(mode):
                raise FormatError("is no regular file")
            content = b"" if size > _MOST_BYTES else opened.read(_MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise FormatError("does not exist") from error
    except IsADirectoryError as error:
        raise FormatError("is a folder") from error
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        why = (error.strerror if isinstance(error, OSError) else None) or error
        raise FormatError(f"cannot be read ({why}); change its mode or owner") from error
    if max(size, len(content)) > _MOST_BYTES:
        raise FormatError(f"has {max(size, len(content)) / 2**20:.0f} MB, {MOST_MB} are read")
    return content


def _unpacked(content: bytes) -> bytes:
    for magic, what in _PACKED.items():
        if content.startswith(magic):
            raise FormatError(f"is {what}, not a text; unpack it, and give the crystal's file")
    if not content.startswith(b"\x1f\x8b"):
        return content
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as packed:
            found = packed.read(_MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise FormatError(f"is a damaged .gz ({error}); copy it again") from error
    if len(found) > _MOST_BYTES:
        raise FormatError(f"has more than {MOST_MB} MB when unpacked, {MOST_MB} are read")
    return found


def _decoded(content: bytes) -> tuple[str, tuple[str, ...]]:
    for mark, encoding in _MARKS.items():
        if content.startswith(mark):
            try:
                return content.decode(encoding).removeprefix("\ufeff"), ()
            except UnicodeDecodeError as error:
                raise FormatError(
                    f"is no text: it begins as {encoding} and goes on otherwise; convert it to UTF-8"
                ) from error
    if b"\0" in content:
        raise FormatError(
            f"is no text (byte {content.index(0)} is zero), or UTF-16 without a byte order mark; convert it to UTF-8"
        )
    try:
        return content.decode("utf-8"), ()
    except UnicodeDecodeError as error:  # old files hold names of authors in Latin-1, which takes every byte
        line = content.count(b"\n", 0, error.start) + 1
        return content.decode("latin-1"), (f"is not UTF-8 (line {line}): read as Latin-1",)
