"""SSSP fetched from the net and unpacked: one archive, resumed where it was cut off. What is in it is checked by pseudos."""

from __future__ import annotations

import errno
import http.client
import io
import lzma
import os
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from crystalloop.dft.recipe.pseudos import (
    ACTINIDES,
    CorruptPseudo,
    MissingPseudo,
    PseudoTable,
    PwEnvironmentError,
    install_from,
)

DEB = "pool/main/q/quantum-espresso-data-sssp/quantum-espresso-data-sssp_1.3.0-3_all.deb"
"""Debian's package of SSSP 1.3.0 PBE efficiency below a mirror: 43 MB, architecture all, no system folder needed."""
DEBIAN = "http://deb.debian.org/debian"
BY_HAND = "https://www.materialscloud.org/discover/sssp/table/efficiency"
MOST_BYTES = 500_000_000
"""No archive of pseudopotentials is larger; what is, is something else."""
SILENT_S = 30.0
"""A server that sends nothing for so long is given up."""
BLOCK = 1 << 18
PART = ".download"


class FetchError(PwEnvironmentError):
    """The pseudopotentials could not be fetched; the message has the address, the reason and what to do by hand."""


def sssp_url() -> str:
    """Where SSSP is fetched from: CRYSTALLOOP_SSSP_URL, else Debian's package, of the mirror CRYSTALLOOP_DEBIAN_MIRROR."""
    mirror = os.environ.get("CRYSTALLOOP_DEBIAN_MIRROR", DEBIAN).rstrip("/")
    return os.environ.get("CRYSTALLOOP_SSSP_URL") or f"{mirror}/{DEB}"


def fetch_sssp(
    url: str, target: Path, elements: tuple[str, ...] | None, table: Path | None, tell: Callable[[str], None]
) -> PseudoTable:
    """Download an archive, unpack it beside the target, and install from it file by file, each with its md5.

    Args:
        url: of a .tar.gz, .tar.xz or .deb with the table's UPF files.
        target: folder to install into; an unfinished download waits in it as PART.
        elements: which; None for all but the actinides.
        table: of another set than SSSP.
        tell: hears what is done.

    Raises:
        FetchError: it could not be downloaded or is no such archive.
        MissingPseudo, CorruptPseudo: a file is not in it, or is another one; the archive is fetched anew next time.
    """
    if there := _complete(target, elements, table):
        tell(f"every file is in {target} already, nothing is fetched")
        return there
    tell(f"fetching pseudopotentials from {url}")
    with _box(target) as box:
        _download(url, target / PART)
        _unpack(target / PART, box, url)
        (target / PART).unlink()
        return install_from(box, target, elements, table)


def _complete(target: Path, elements: tuple[str, ...] | None, table: Path | None) -> PseudoTable | None:
    """The table of a folder in which every file is there and right; None for any other."""
    if not target.is_dir():
        return None
    known = PseudoTable.load(target, table)
    try:
        known.check(elements or set(known.entries) - ACTINIDES)
    except (MissingPseudo, CorruptPseudo):
        return None
    return known


def installed_from(
    source: Path | None,
    url: str | None,
    target: Path,
    elements: tuple[str, ...] | None,
    table: Path | None,
    tell: Callable[[str], None],
) -> PseudoTable:
    """Install from a folder, from an archive that was downloaded by hand, or from the net.

    Args:
        source: folder or archive; None fetches.
        url: of the archive to fetch; None for `sssp_url`.
        target: folder to install into.
        elements: which; None for all but the actinides.
        table: in place of the source's own; the bundled one where there is none.
        tell: hears what is done.

    Raises:
        FetchError: it could not be fetched, or is no archive.
        MissingPseudo, CorruptPseudo: a file is missing, or is another one.
        PwEnvironmentError: `target` cannot be written.
    """
    if source is None:
        return fetch_sssp(url or sssp_url(), target, elements, table, tell)
    if not source.is_file():
        return install_from(source, target, elements, table)
    with _box(target) as box:
        _unpack(source, box, str(source))
        return install_from(box, target, elements, table)


@contextmanager
def _box(target: Path) -> Iterator[Path]:
    """A folder to unpack into, below the target, gone afterwards.

    Raises:
        FetchError: nothing can be written there.
    """
    try:
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target, prefix=".unpacked-") as box:
            yield Path(box)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            (target / PART).unlink(missing_ok=True)
        raise FetchError(
            f"{error.filename or target} cannot be written ({error.strerror}): make room or choose another --folder"
        ) from error


def _download(url: str, part: Path) -> None:
    """The whole of a file, going on from what an earlier call left."""
    if not url.startswith(("http://", "https://")):
        raise FetchError(f"{url!r} is no http or https address; give one with --url, or a folder with --source")
    with _said_of(url):
        have = part.stat().st_size if part.is_file() else 0
        try:
            answer = _open(url, have)
        except urllib.error.HTTPError as error:
            if not have or error.code != 416:  # what is here is longer than what is there: another file
                raise
            error.close()
            part.unlink()
            have, answer = 0, _open(url, 0)
        with answer:
            goes_on = have and answer.status == 206
            size = int(answer.headers.get("Content-Length") or -1)
            with part.open("ab" if goes_on else "wb") as file:
                got = _copy(answer, file, MOST_BYTES - (have if goes_on else 0))
        if 0 <= size != got:
            raise http.client.IncompleteRead(b"", size - got)


def _open(url: str, start: int) -> http.client.HTTPResponse:
    headers = {"User-Agent": "crystalloop", "Accept-Encoding": "identity"} | (
        {"Range": f"bytes={start}-"} if start else {}
    )
    answer: http.client.HTTPResponse = urllib.request.build_opener().open(  # reads the proxies of the environment now
        urllib.request.Request(url, headers=headers), timeout=SILENT_S
    )
    return answer


def _copy(source: IO[bytes] | http.client.HTTPResponse, file: IO[bytes], most: int) -> int:
    got = 0
    while block := source.read(BLOCK):
        got += len(block)
        if got > most:
            raise ValueError(f"it is larger than {MOST_BYTES // 1_000_000} MB")
        file.write(block)
    return got


@contextmanager
def _said_of(url: str) -> Iterator[None]:
    """Whatever the net answers, as one sentence; errors of the disk pass."""
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        raise _failed(url, f"the server answers {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, OSError) and error.reason.errno in (errno.ENOSPC, errno.EDQUOT):
            raise error.reason from error
        raise _failed(url, str(getattr(error.reason, "strerror", None) or error.reason)) from error
    except http.client.IncompleteRead as error:
        raise _failed(url, "the connection ended early; the same command goes on from there") from error
    except TimeoutError as error:
        raise _failed(url, f"nothing came for {SILENT_S:.0f} s; the same command goes on from there") from error
    except (http.client.HTTPException, ConnectionError, ValueError) as error:
        raise _failed(url, str(error) or type(error).__name__) from error


def _failed(url: str, reason: str) -> FetchError:
    return FetchError(
        f"SSSP could not be fetched from {url}: {reason}. Check network and proxy (https_proxy), or download SSSP 1.3.0 PBE "
        f"efficiency by hand, from there or {BY_HAND}, and call `crystalloop pseudos install --source FILE_OR_FOLDER`"
    )


def _unpack(archive: Path, box: Path, name: str) -> None:
    """The UPF files of an archive, flat, whatever folders it has; nothing else is written."""
    try:
        with archive.open("rb") as file, tarfile.open(fileobj=_tar_of(file)) as tar:
            left = MOST_BYTES
            for member in tar:
                base = Path(member.name).name
                if not member.isfile() or not base.lower().endswith(".upf"):
                    continue
                left -= member.size
                if left < 0:
                    raise ValueError(f"it unpacks to more than {MOST_BYTES // 1_000_000} MB")
                content = tar.extractfile(member)
                if content is not None:
                    with content, (box / base).open("wb") as out:
                        shutil.copyfileobj(content, out)
    except (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, ValueError) as error:
        if archive.name == PART:
            archive.unlink(missing_ok=True)
        raise FetchError(
            f"what came from {name} is no archive of pseudopotentials ({error}): repeat the command, or give a folder with "
            "the files, --source FOLDER"
        ) from error


def _tar_of(file: IO[bytes]) -> IO[bytes]:
    """The tar in a Debian package, which is an ar archive; the file itself where it is none."""
    if file.read(8) != b"!<arch>\n":
        file.seek(0)
        return file
    while len(head := file.read(60)) == 60:
        name, size = head[:16].strip(), int(head[48:58])
        if name.startswith(b"data.tar"):
            return io.BytesIO(file.read(size))
        file.seek(size + size % 2, os.SEEK_CUR)
    raise ValueError("no data.tar in the package")
