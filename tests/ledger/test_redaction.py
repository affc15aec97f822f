"""A password with any character is shown nowhere: not in messages, logs, tracebacks, process lists or files."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from pymongo.errors import ConfigurationError, OperationFailure

from crystalloop.db.ledger.access.connection import UnusableUri, connect, refused, require_usable
from crystalloop.db.ledger.access.redaction import (
    Redacting,
    fault_of_uri,
    keep_environment_secret,
    shown_uri,
    without_secrets,
)
from crystalloop.db.serving import given
from crystalloop.db.serving.given import DatabaseUnavailable, answering

SECRETS = [
    "pa/ss", "se#cret", "qu?stion", "at@home", "per%cent", "co:lon", "[brackets]", "two words", "ünïcödé", "it's", 'say"so"',
    "a&b=c", "back\\slash", "$dollar", "semi;colon", "sla/sh@at:co?lon#hash%25", "?ssl=true", "a://b", "27017/x", "1234",
    "tab\tbed",
]  # fmt: skip


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("host", ["127.0.0.1:27999", "h1.invalid:27017,h2.invalid:27018"])
@pytest.mark.parametrize("tail", ["", "/", "/crystals?retryWrites=true&w=majority"])
def test_what_is_shown_of_a_uri_is_its_host_and_port_alone(secret, host, tail):
    uri = f"mongodb://anna:{secret}@{host}{tail}"
    assert shown_uri(uri) == f"mongodb://{host}{tail.partition('?')[0]}"
    text = f"cannot use {uri}: {secret!r} of {uri!r}"
    try:
        require_usable(uri)
    except UnusableUri as error:
        text += str(error)
        assert "percent-encoded" in str(error)
        assert error.__cause__ is None
        assert error.__context__ is None
    assert secret not in without_secrets(text)
    assert "anna" not in without_secrets(f"cannot use {uri}")


@pytest.mark.parametrize("secret", SECRETS)
def test_a_percent_encoded_password_is_accepted_and_hidden_in_both_forms(secret):
    uri = f"mongodb://anna:{quote(secret, safe='')}@127.0.0.1:27999/"
    assert fault_of_uri(uri) is None
    connect(uri).close()
    said = without_secrets(f"{uri} {secret} {quote(secret, safe='')} {secret!r}")
    assert secret not in said
    assert quote(secret, safe="") not in said


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("mongodb+srv://anna:hush%2Fhush@cluster.example.net/?w=1", "mongodb+srv://cluster.example.net/"),
        ("mongodb://[::1]:27017/", "mongodb://[::1]:27017/"),
        ("mongodb://%2Ftmp%2Fmongo.sock", "mongodb:///tmp/mongo.sock"),
        ("anna:hushhush@host:1", "host:1"),
        ("http://anna:hushhush@host:1/", "http://host:1/"),
        ("mongodb://h/?authMechanismProperties=AWS_SESSION_TOKEN:tok@en", "mongodb://h/"),
        ("mongodb://a:b@h/?tlsCertificateKeyFilePassword=p@ss", "mongodb://h/"),
        ("  mongodb://a:b@h  ", "mongodb://h"),
    ],
)
def test_uris_of_other_forms_show_no_more(uri, shown):
    assert shown_uri(uri) == shown


@pytest.mark.parametrize(
    "text",
    [
        "database: not a table (given: 'mongodb://anna:pass word@h:1/')",
        "given: ['mongodb+srv://anna:pa ss/wo@rd@h/']",
        'uri: "mongodb://anna:p ü @h:1" is wrong; an @ is %40',
        "MONGODB://anna:x'y@h",
    ],
)
def test_a_connection_string_in_any_text_is_cut_even_where_it_was_never_used(text):
    said = without_secrets(text)
    assert "anna" not in said
    assert "h" in said
    assert said.count("%40") == text.count("%40")


def test_secrets_in_options_are_hidden():
    properties = "AWS_SESSION_TOKEN:FwoGZXIvYXdz%2Fsecret,SERVICE_NAME:x"
    uri = f"mongodb://anna@h/?authMechanismProperties={properties}&tlsCertificateKeyFilePassword=keypass%21"
    require_usable(uri)
    said = without_secrets("FwoGZXIvYXdz%2Fsecret FwoGZXIvYXdz/secret keypass%21 keypass! AWS_SESSION_TOKEN")
    assert "FwoGZ" not in said
    assert "keypass" not in said


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("mongodb://anna:hushhush@h:279999/", "Port must be an integer"),
        ("mongodb://anna:hushhush@h/?nonsense=hidden", "Unknown option: nonsense"),
        ("mongodb://anna:hushhush@h/?authMechanism=hidden", "authmechanism must be in"),
        ("mongodb://anna:hushhush@h/?tls=true&tlsCertificateKeyFile=/no/such.pem", r"/no/such\.pem: No such file"),
        ("mongodb://anna:hushhush@/", "it names no host"),
    ],
)
def test_a_uri_that_the_driver_refuses_is_a_sentence_without_its_values(uri, said):
    with pytest.raises(UnusableUri, match=said) as caught:
        connect(uri)
    assert not {"hushhush", "anna", "hidden"} & set(str(caught.value).replace("'", " ").replace(":", " ").split())


def test_a_database_that_lets_nobody_in_is_said_at_once_and_without_the_password(tmp_path, monkeypatch):
    tries = []

    def hello(uri):
        tries.append(uri)
        raise OperationFailure(f"Authentication failed for {uri}, full error: {{'x': 1}}", 18)

    monkeypatch.setattr(given, "hello", hello)
    with pytest.raises(DatabaseUnavailable, match=r"lets us not in .code 18: Authentication failed") as caught:
        answering("mongodb://anna:hush1234@h:1/?authSource=admin", tmp_path)
    assert "hush1234" not in str(caught.value)
    assert "full error" not in str(caught.value)
    assert len(tries) == 1
    assert caught.value.__cause__ is None


def test_an_error_of_the_driver_is_repeated_without_secrets():
    require_usable("mongodb://anna:hush5678@h:1/")
    error = refused(
        "mongodb://h:1/x", OperationFailure("user anna:hush5678 of mongodb://anna:hush5678@h:1/ may not", 13)
    )
    assert "hush5678" not in str(error)
    assert "code 13" in str(error)


def test_keys_and_tokens_of_the_environment_are_hidden_and_paths_are_not():
    environment = {"MP_API_KEY": "mpkey12345", "RAY_AUTH_TOKEN": "raytoken12345", "PMG_MAPI_KEY": "pmgkey12345"}
    environment |= {"RAY_AUTH_TOKEN_PATH": "/home/x/token", "OTHER": "visible123", "X": "mongodb://u:hush4321@h/"}
    keep_environment_secret(environment)
    said = without_secrets(" ".join([*environment.values(), "hush4321"]))
    assert said == "*** *** *** /home/x/token visible123 mongodb://h/ ***"


def test_the_token_in_a_file_is_hidden(tmp_path):
    (tmp_path / "token").write_text("filetoken987\n")
    keep_environment_secret({"RAY_AUTH_TOKEN_PATH": str(tmp_path / "token"), "X_TOKEN_FILE": str(tmp_path / "none")})
    assert without_secrets("say filetoken987") == "say ***"


def test_a_logged_traceback_is_without_secrets():
    require_usable("mongodb://anna:hush9999@h:1/")
    try:
        raise ConfigurationError("bad mongodb://anna:hush9999@h:1/ hush9999")
    except ConfigurationError:
        record = logging.LogRecord("x", logging.ERROR, "x", 1, "at %s", ("hush9999",), sys.exc_info())
    assert "hush9999" not in Redacting("%(message)s").format(record)


CHILD = """
import logging, os, sys, threading
from crystalloop.db.ledger.access.redaction import guard
guard(logging.INFO, "%(message)s")
uri = os.environ["CRYSTALLOOP_MONGODB_URI"]
logging.getLogger("x").info("connecting to %s", uri)
thread = threading.Thread(target=lambda: int(uri))
thread.start(); thread.join()
raise RuntimeError(f"{uri} and {uri.split(':')[2].rpartition('@')[0]}")
"""


def test_a_process_that_ends_in_a_traceback_shows_no_password():
    environment = {**os.environ, "CRYSTALLOOP_MONGODB_URI": "mongodb://anna:hu/sh 77@h:1/"}
    done = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 2
    assert "hu/sh 77" not in done.stdout + done.stderr


@pytest.mark.slow
def test_neither_command_lines_nor_files_hold_the_password(tmp_path, mongodb_uri):
    """A worker on a database with a user in its URI: what `ps` shows, what it logs, what it leaves, what pw.x inherits."""
    uri = mongodb_uri.replace("mongodb://", "mongodb://anna:hush2468@")  # the server here asks nobody
    script = Path(__file__).parents[1] / "fake_worker.py"
    command = [
        sys.executable,
        str(script),
        "--database",
        "x",
        "--runs",
        str(tmp_path / "runs"),
        "--pseudos",
        str(tmp_path),
    ]
    environment = {**os.environ, "CRYSTALLOOP_MONGODB_URI": uri}
    done = subprocess.run(
        [*command, "--idle-exit", "0.1"], capture_output=True, text=True, env=environment, timeout=60, check=False
    )
    assert "hush2468" not in " ".join(command) + done.stdout + done.stderr
    assert done.returncode in {0, 4}
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"hush2468" in path.read_bytes()]


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://anna:hush-hush",
        "mongodb://anna:hush-hush/db",
        "mongodb://anna:hu/sh-hush",
        "mongodb://h:1,anna:hush-hush",
    ],
)
def test_a_password_whose_host_was_forgotten_is_no_host(uri):
    with pytest.raises(UnusableUri) as told:
        require_usable(uri)
    assert not {"anna", "hush", "hu/sh"} & set(re.findall(r"[\w/]+", str(told.value)))
    assert shown_uri("mongodb://h1:27017,[::1]:27018/db") == "mongodb://h1:27017,[::1]:27018/db"
