"""A hook of mkdocs: links from pages to files outside docs/ become their text, since the site holds pages alone.

On a page read in the repository such a link opens the file; tests/whole/test_docs.py says whether it is there.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from posixpath import normpath
from typing import Any

LINK = re.compile(r"\[([^]]+)\]\((?!https?:|#)([^)\s#]+)(#[^)\s]*)?\)")


def on_page_markdown(markdown: str, page: Any, **_: object) -> str:  # noqa: ANN401  (mkdocs is in another environment)
    """Called by mkdocs with the text of each page."""
    return without_links_outside(markdown, page.file.src_uri)


def without_links_outside(markdown: str, page: str) -> str:
    """The text, with links that leave the folder of pages taken away.

    Args:
        markdown: text of the page.
        page: its path in docs/, such as guide/own-policy.md.
    """
    folder = Path(page).parent

    def kept(match: re.Match[str]) -> str:
        target = PurePosixPath(normpath((folder / match[2]).as_posix()))
        return match[1] if target.parts[0] == ".." else match[0]

    return LINK.sub(kept, markdown)
