"""A cluster that cannot be reached is a sentence within seconds: Ray itself tries for two minutes and aborts the process."""

from __future__ import annotations

import socket
import threading
from types import SimpleNamespace

import pytest
import ray

from crystalloop.orchestrator.cluster import reach
from crystalloop.orchestrator.cluster.reach import ClusterUnreachable, require_cluster, said_of, use_token


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    """No token and no cluster of this machine's user are met."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / "ray"))
    monkeypatch.setattr(reach, "Config", SimpleNamespace(initialize=str))  # Ray's own, of this whole process
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "")  # so that what is set in a test is taken back
        monkeypatch.delenv(name)


@pytest.fixture
def listener():
    """A port on which somebody answers a first message; returns host:port."""
    open_ = []

    def listen(answer):
        server = socket.create_server(("127.0.0.1", 0))
        open_.append(server)

        def serve():
            connection, _ = server.accept()
            with connection:
                connection.recv(100)
                connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        return f"127.0.0.1:{server.getsockname()[1]}"

    yield listen
    for server in open_:
        server.close()


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("127.0.0.1:1", "no Ray cluster answers at .*:1"),
        ("127.0.0.1:99999", "no Ray cluster answers at"),
        ("127.0.0.1:port", "no Ray cluster answers at"),
        ("no-such-host.invalid:6379", "no Ray cluster answers at"),
        ("head", "is none"),
        ("", "is none"),
        ("local", "names no cluster"),
        ("ray://127.0.0.1:10001", "does not run through a client"),
        ("http://127.0.0.1:8265", "does not run through a client"),
    ],
)
def test_an_address_without_a_cluster_is_a_sentence(address, sentence):
    with pytest.raises(ClusterUnreachable, match=sentence):
        require_cluster(address)


def test_auto_without_a_cluster_says_how_to_start_one(monkeypatch):
    def none_runs(address):
        raise ConnectionError("Could not find any running Ray instance.")

    monkeypatch.setattr(reach, "canonicalize_bootstrap_address", none_runs)
    with pytest.raises(ClusterUnreachable, match=r"no Ray cluster runs on this machine .*`ray up cluster.yaml`"):
        require_cluster("auto")


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"-ERR unknown command\r\n", b""])
def test_another_server_at_the_port_is_told_from_ray(listener, answer, monkeypatch):
    monkeypatch.setattr(reach, "canonicalize_bootstrap_address", str)  # which takes 127.0.0.1 for another interface
    with pytest.raises(ClusterUnreachable, match="is no Ray cluster: its port is 6379"):
        require_cluster(listener(answer))


def test_a_token_that_others_may_read_is_refused_with_the_command_that_mends_it(tmp_path):
    file = tmp_path / ".ray" / "auth_token"
    file.parent.mkdir()
    file.write_text("a" * 64)
    file.chmod(0o644)
    with pytest.raises(ClusterUnreachable, match=r"mode 0644.*chmod 600 "):
        use_token(start_here=False)
    file.chmod(0o600)
    use_token(start_here=False)


def test_a_token_that_is_asked_for_and_not_there_is_a_sentence_before_ray_aborts(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    with pytest.raises(ClusterUnreachable, match="RAY_AUTH_MODE is token and there is no token"):
        use_token(start_here=False)


def test_the_token_of_a_ray_of_our_own_is_readable_by_its_owner_alone(tmp_path):
    file = tmp_path / ".ray" / "auth_token"
    use_token(start_here=True)
    assert (file.stat().st_mode & 0o777, len(file.read_text())) == (0o600, 64)
    file.chmod(0o644)  # as Ray makes it
    use_token(start_here=True)
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ray.exceptions.AuthenticationError("InvalidAuthToken"), "does not take our token"),
        (
            RuntimeError("Version mismatch: The cluster was started with:\n    Ray: 2.50.0\n    Python: 3.12.1"),
            "Ray: 2.50.0 Python: 3.12.1; start crystalloop and the cluster from the same environment",
        ),
        (ConnectionError("Failed to connect to Ray cluster"), "cannot be used: Failed to connect"),
    ],
)
def test_what_ray_raises_while_it_connects_is_one_sentence(error, sentence):
    with pytest.raises(ClusterUnreachable, match="the Ray cluster at auto") as raised, said_of("auto"):
        raise error
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)
