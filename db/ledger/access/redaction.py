"""What must never be shown: passwords and tokens, taken out of any text at every door. No connection is made here."""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from urllib.parse import quote, quote_plus, unquote, unquote_plus

HIDDEN = "***"
_SCHEMES = ("mongodb://", "mongodb+srv://")
SECRET_OPTIONS = ("authmechanismproperties", "tlscertificatekeyfilepassword", "ssl_pem_passphrase", "proxypassword")
"""Options of a connection string that hold secrets; none of its options is ever shown."""
SECRET_VARIABLE = re.compile(r"(PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|MAPI_KEY|SECRET_ACCESS_KEY)$")
"""Names of environment variables whose values are secrets: API keys, tokens of clusters."""
SECRET_FILE = re.compile(r"TOKEN_(PATH|FILE)$")
RAY_TOKEN = Path.home() / ".ray" / "auth_token"
"""Where Ray keeps the token of its clusters, unless a variable names another place."""
LEAST, LONGEST = 4, 4096
"""A secret shorter than the first is taken out of connection strings, not of every word that happens to hold it; a file
of more bytes than the second is no token."""
_OPTIONS = re.compile(
    r"\?(?=(?:[A-Za-z_]+=[^&]*&)*(?:auth|tls|ssl|retry|replicaset|w=|wtimeout|journal|read|max|min|wait|connect|socket|"
    r"server|local|heartbeat|appname|compressors|direct|load|srv|proxy|timeout|uuid|zlib|tz)[A-Za-z_]*=)",
    re.IGNORECASE,
)
_IN_TEXT = re.compile(r"""(mongodb(?:\+srv)?://)(?:\S*@|[^\n'"]*@(?=[\w\[%]))""", re.IGNORECASE)
_PASSWORD_WITHOUT_AT = re.compile(r"(?:^|,)[^\[\],/:]*:(?!\d+(?:[,/]|$))[^,/]")
"""A host whose port is no number: a user and a password, the host behind them forgotten."""
_kept: set[str] = set()


def shown_uri(uri: str) -> str:
    """A connection string as it may be shown: scheme, hosts with ports, database; nothing between `//` and the last `@`."""
    scheme, _, hosts, _ = _parts(uri)
    return unquote(f"{scheme}{hosts}")


def fault_of_uri(uri: str) -> str | None:
    """What is wrong with a connection string, without any piece of it that may be secret; None where nothing is."""
    scheme, user, hosts, _ = _parts(uri)
    if scheme not in _SCHEMES:
        return f"it starts with {' or '.join(_SCHEMES)}"
    if user is not None and (
        re.search(r"[/?@]", user) or user.count(":") > 1 or re.search("%(?![0-9A-Fa-f]{2})", user)
    ):
        return ENCODE
    if not re.split("[/?]", hosts)[0]:
        return "it names no host (hosts stand behind the @ of user and password), or a port that is no number"
    return None


ENCODE = (
    "its user or password has one of the characters / ? @ : % as it is, and in a connection string each of them is "
    "percent-encoded: / is %2F, ? is %3F, @ is %40, : is %3A, % is %25 (and # is %23, a space %20); "
    "python3 -c 'import getpass, urllib.parse as u; print(u.quote(getpass.getpass(), safe=\"\"))' asks for one and encodes it"
)


def about_uri(uri: str, said: str) -> str:
    """The first of a driver's words about a connection string, without any value of its options."""
    first = re.split(r"\n|\. ", said)[0]
    for option in _parts(uri)[3].split("&"):
        value = option.partition("=")[2]
        for form in {value, unquote_plus(value)} - {""}:
            first = first.replace(form, HIDDEN)
    return without_secrets(first)[:200]


def keep_secret(uri: str) -> None:
    """Take the secrets of a connection string out of every text that is shown from now on."""
    _, user, _, options = _parts(uri)
    secrets = [] if user is None else [user, user.partition(":")[2]]
    for option in options.split("&"):
        name, _, value = option.partition("=")
        if name.lower() in SECRET_OPTIONS:
            secrets += [value, *(part.partition(":")[2] for part in value.split(","))]
    for secret in secrets:
        _keep(secret)


def keep_environment_secret(environment: Mapping[str, str] = os.environ) -> None:
    """The same for every variable whose name says that it is a secret, and for connection strings among the others."""
    for name, value in environment.items():
        if value.startswith(_SCHEMES):
            keep_secret(value)
        elif SECRET_FILE.search(name.upper()):
            _keep_file(Path(value))
        elif SECRET_VARIABLE.search(name.upper()) and not value.startswith(os.sep):
            _keep(value)
    _keep_file(RAY_TOKEN)


def without_secrets(text: str) -> str:
    """The text without what was kept secret, and without the user and password of any connection string in it."""
    for secret in sorted(_kept, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return _IN_TEXT.sub(r"\1", text)


class Redacting(logging.Formatter):
    """A formatter whose lines, tracebacks included, are without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        return without_secrets(super().format(record))


def guard(level: int, line: str) -> None:
    """Log to stderr, and end in tracebacks, without secrets: for the beginning of every process of ours."""
    keep_environment_secret()
    logging.basicConfig(level=level, format=line)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(Redacting(line))
    sys.excepthook = _traceback
    threading.excepthook = lambda told: _traceback(told.exc_type, told.exc_value, told.exc_traceback)


def _traceback(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    sys.stderr.write(without_secrets("".join(traceback.format_exception(kind, error, trace))))


def _keep_file(path: Path) -> None:
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(LONGEST + 1)
    except (OSError, ValueError):  # there is none
        return
    if len(text) <= LONGEST:
        _keep(text.strip())


def _keep(secret: str) -> None:
    plain = {secret, unquote(secret), unquote_plus(secret)}
    forms = plain | {encode(one, safe="") for one in plain for encode in (quote, quote_plus)}
    forms |= {repr(one)[1:-1] for one in plain} | {ascii(one)[1:-1] for one in plain}
    _kept.update(form for form in forms if len(form) >= LEAST)


def _parts(uri: str) -> tuple[str, str | None, str, str]:
    """Scheme with `://`, what stands before the last `@` or None, hosts with the database, options."""
    scheme, mark, rest = uri.strip().partition("://")
    if not mark or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
        scheme, mark, rest = "", "", uri.strip()
    found = _OPTIONS.search(rest)
    if found and "@" in rest[found.end() :] and not _is_of_option(rest, found.start()):
        found = None  # a password with a question mark in it
    body, options = (rest[: found.start()], rest[found.end() :]) if found else (rest, "")
    user, at, hosts = body.rpartition("@")
    if not found:
        hosts, _, options = hosts.partition("?")
    if not at and _PASSWORD_WITHOUT_AT.search(hosts):
        user, at, hosts = hosts, "@", ""
    return f"{scheme}{mark}".lower(), user if at else None, hosts, options


def _is_of_option(rest: str, start: int) -> bool:
    """Whether the last `@` stands in the value of an option rather than behind a password."""
    before = rest.rpartition("@")[0]
    name = re.split("[?&]", before[start:])[-1].partition("=")[0]
    return "@" in rest[:start] or name.lower() in SECRET_OPTIONS
