"""Names that may become paths: ids are checked where they enter the ledger, and again where they are read. No files here."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

_MOST_BYTES = 200
_NAME = re.compile(r"[^\W_][\w.()+,=:~-]*")


def path_name(text: str) -> str:
    """The text, if it may be the name of a file or folder: letters, digits and `_ - . ( ) + , = : ~`, at most 200 bytes.

    Raises:
        ValueError: it may not, because it could lead out of the folder that it is to lie in, or name no file at all.
    """
    if not _NAME.fullmatch(text) or len(text.encode()) > _MOST_BYTES:
        raise ValueError(
            f"{text[:60]!r} is no id: ids begin with a letter or digit, have only letters, digits and _-.()+,=:~, "
            f"and at most {_MOST_BYTES} bytes"
        )
    return text


def path_names(text: str) -> str:
    """The text, if it is one or more names of `path_name` with `/` between them."""
    return "/".join(map(path_name, text.split("/")))


Id = Annotated[str, AfterValidator(path_name)]
"""An id that names a folder: it has no part that could lead elsewhere."""
PathId = Annotated[str, AfterValidator(path_names)]


def version_id(campaign: str, number: int) -> str:
    """Of a campaign's model version; the first has the number 1."""
    return f"{campaign}-v{number}"
