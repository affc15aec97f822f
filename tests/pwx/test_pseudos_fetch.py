"""crystalloop pseudos install from the net, against a server of our own: whole, resumed, or a sentence and nothing left."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from typer.testing import CliRunner

from crystalloop.dft.recipe import fetch
from crystalloop.dft.recipe.pseudos import PseudoTable
from crystalloop.orchestrator.cli.app import app

UPF = '<UPF version="2.0.1">\n<PP_HEADER element="{}" pseudo_type="NC" functional="PBE" has_so="F" z_valence="1.0"/>\n'
FILES = {f"{element}.upf": UPF.format(element).encode() for element in ("Li", "F")}


def tar(files, mode="gz") -> bytes:
    box = io.BytesIO()
    with tarfile.open(fileobj=box, mode=f"w:{mode}") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return box.getvalue()


def deb(files) -> bytes:
    """An ar archive, as dpkg-deb makes it."""
    data = tar({f"./usr/share/espresso/pseudo/{name}": content for name, content in files.items()}, "xz")

    def member(name, content):
        head = f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode()
        return head + content + b"\n" * (len(content) % 2)

    return (
        b"!<arch>\n"
        + member("debian-binary", b"2.0\n")
        + member("control.tar.xz", b"odd")
        + member("data.tar.xz", data)
    )


class Server(ThreadingHTTPServer):
    """Serves one archive under every path that it is not told to do something else with."""

    archive, cut_at, ranges, asked = b"", None, True, None


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.asked.append((self.path, self.headers.get("Range")))
        if self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", "/sssp.tar.gz")
            self.end_headers()
            return
        if self.path.startswith("/none"):
            self.send_error(404, "Not Found")
            return
        if self.path.startswith("/page"):
            self._send(200, b"<html>please log in</html>")
            return
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1]) if server.ranges else 0
        if start > len(server.archive):
            self.send_error(416)
            return
        self._send(206 if start else 200, server.archive[start:], server.cut_at)

    def _send(self, code, body, cut_at=None):
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:cut_at])

    def log_message(self, *_):
        """Nothing on the terminal."""


@pytest.fixture
def server():
    with Server(("127.0.0.1", 0), Handler) as made:
        made.archive, made.asked = tar(FILES), []
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A table for the files, and a target folder that the environment names."""
    rows = {
        name.removesuffix(".upf"): {
            "filename": name,
            "md5": hashlib.md5(content).hexdigest(),
            "ecutwfc": 40.0,
            "ecutrho": 320.0,
        }
        for name, content in FILES.items()
    }
    table = tmp_path / "set.json"
    table.write_text(json.dumps(rows))
    monkeypatch.setenv("CRYSTALLOOP_PSEUDOS", str(tmp_path / "mine"))
    for proxy in (
        "http_proxy",
        "https_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
        "no_proxy",
        "NO_PROXY",
    ):
        monkeypatch.delenv(proxy, raising=False)
    return table, tmp_path / "mine"


def install(server, table, path="/sssp.tar.gz", *more):
    url = f"http://127.0.0.1:{server.server_port}{path}" if server is not None else path
    return CliRunner().invoke(app, ["pseudos", "install", "--url", url, "--table", str(table), *map(str, more)])


def left(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("path", ["/sssp.tar.gz", "/moved"])
def test_an_archive_is_fetched_and_installed_and_nothing_else_stays(server, place, path):
    table, folder = place
    done = install(server, table, path)
    assert done.exit_code == 0, done.stderr
    assert "2 pseudopotentials, every md5 right: PBE, 2 NC" in done.stdout
    assert left(folder) == {*FILES, "table.json"}
    assert set(PseudoTable.load(folder).check(["Li", "F"])) == {"Li", "F"}


def test_what_is_complete_is_not_fetched_again(server, place):
    assert install(server, place[0]).exit_code == 0
    done = install(server, place[0])
    assert (done.exit_code, "nothing is fetched" in done.stderr, len(server.asked)) == (0, True, 1)


def test_a_source_and_an_address_at_once_are_refused(server, place, tmp_path):
    done = install(server, place[0], "/sssp.tar.gz", "--source", tmp_path)
    assert (done.exit_code, "--url fetches them" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    "make", [lambda: tar(FILES, "xz"), lambda: deb(FILES), lambda: tar({f"a/b/{k}": v for k, v in FILES.items()})]
)
def test_debian_packages_and_other_archives_are_read_too(server, place, make):
    server.archive = make()
    done = install(server, place[0])
    assert done.exit_code == 0, done.stderr


def test_a_download_that_was_cut_off_goes_on_where_it_ended(server, place):
    table, folder = place
    server.cut_at = 100
    done = install(server, table)
    assert (done.exit_code, "the connection ended early; the same command goes on" in done.stderr) == (3, True)
    assert left(folder) == {".download"}
    server.cut_at = None
    assert install(server, table).exit_code == 0
    assert server.asked[-1][1] == "bytes=100-"
    assert left(folder) == {*FILES, "table.json"}


@pytest.mark.parametrize(
    ("ranges", "size"), [(False, 100), (True, 10**6)], ids=["no ranges", "longer than the archive"]
)
def test_what_is_left_of_another_download_is_fetched_anew(server, place, ranges, size):
    table, folder = place
    folder.mkdir()
    (folder / ".download").write_bytes(b"x" * size)
    server.ranges = ranges
    assert install(server, table).exit_code == 0


def test_a_wrong_checksum_installs_nothing_wrong_and_is_named(server, place):
    table, folder = place
    server.archive = tar({**FILES, "F.upf": b"<UPF another"})
    done = install(server, table)
    assert (done.exit_code, "F.upf has md5" in done.stderr) == (3, True)
    assert left(folder) == set()


def test_a_file_that_is_not_in_the_archive_is_named(server, place):
    server.archive = tar({"Li.upf": FILES["Li.upf"]})
    done = install(server, place[0])
    assert (done.exit_code, "F.upf, is missing" in " ".join(done.stderr.split())) == (3, True)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/none", "the server answers 404 Not Found"),
        ("/page", "is no archive of pseudopotentials"),
        ("http://no-such-host.invalid/sssp.tar.gz", "could not be fetched from http://no-such-host.invalid"),
        ("http://127.0.0.1:1/sssp.tar.gz", "Connection refused"),
        ("ftp://127.0.0.1/sssp.tar.gz", "is no http or https address"),
        ("file:///etc/passwd", "is no http or https address"),
        ("http://[bad/sssp", "could not be fetched"),
    ],
)
def test_whatever_the_net_answers_is_a_sentence_with_what_to_do_by_hand(server, place, path, reason):
    table, folder = place
    done = install(server if path.startswith("/") else None, table, path)
    text = " ".join(done.stderr.split())
    assert (done.exit_code, reason in text, "--source" in text) == (3, True, True), text
    assert left(folder) == set()


def test_a_proxy_that_does_not_answer_is_named_as_such(server, place, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    done = install(server, place[0])
    assert (done.exit_code, "Check network and proxy" in " ".join(done.stderr.split())) == (3, True)


def test_a_full_disk_is_a_sentence_and_gives_its_room_back(server, place, monkeypatch):
    table, folder = place

    def full(source, file, most):
        file.write(b"x" * 50)
        raise OSError(errno.ENOSPC, "No space left on device", file.name)

    monkeypatch.setattr(fetch, "_copy", full)
    done = install(server, table)
    assert (done.exit_code, "No space left on device" in done.stderr) == (3, True)
    assert left(folder) == set()


def test_an_archive_that_was_downloaded_by_hand_is_a_source(place, tmp_path):
    table, _ = place
    for name, content in {"sssp.deb": deb(FILES), "sssp.tar.gz": tar(FILES)}.items():
        (tmp_path / name).write_bytes(content)
        done = CliRunner().invoke(
            app,
            [
                "pseudos",
                "install",
                "--source",
                str(tmp_path / name),
                "--table",
                str(table),
                "--folder",
                str(tmp_path / name[:6]),
            ],
        )
        assert done.exit_code == 0, done.stderr
        assert (tmp_path / name).is_file()


def test_names_in_an_archive_that_lead_elsewhere_write_nowhere_else(server, place, tmp_path):
    server.archive = tar({"../../F.upf": FILES["F.upf"], "/Li.upf": FILES["Li.upf"]})
    assert install(server, place[0]).exit_code == 0
    assert left(place[1]) == {*FILES, "table.json"}
    assert not (tmp_path / "F.upf").exists()


def test_the_address_is_that_of_the_mirror_and_of_the_environment(monkeypatch):
    monkeypatch.delenv("CRYSTALLOOP_SSSP_URL", raising=False)
    monkeypatch.setenv("CRYSTALLOOP_DEBIAN_MIRROR", "http://mirror.example/debian/")
    assert fetch.sssp_url() == f"http://mirror.example/debian/{fetch.DEB}"
    monkeypatch.setenv("CRYSTALLOOP_SSSP_URL", "http://mine.example/sssp.tar.gz")
    assert fetch.sssp_url() == "http://mine.example/sssp.tar.gz"
