"""Whether a Ray cluster can be reached, asked before Ray is: Ray itself tries for minutes, and ends the process. No session."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray
from ray._private.services import canonicalize_bootstrap_address
from ray._private.utils import read_ray_address
from ray._raylet import Config, GcsClient  # type: ignore[attr-defined]  # compiled: its stub does not name them

ANSWER_S = 5.0
"""A port that does not answer in this time is taken for closed."""
HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0"
"""How a gRPC client greets, and an empty SETTINGS frame (RFC 9113, 3.4); a server answers with SETTINGS of its own."""
SETTINGS = 4


class ClusterUnreachable(Exception):
    """There is no cluster at the address, or it does not take us; the message says which, and the next move."""

    exit_kind = "environment"


def require_cluster(address: str) -> None:
    """Return once a Ray cluster answers at the address, takes our token, and has a node on this machine.

    Args:
        address: auto or host:port.

    Raises:
        ClusterUnreachable: within seconds, whatever is wrong.
    """
    found = _resolved(address)
    _require_answer(address, found)
    use_token(start_here=False)
    with said_of(address):
        nodes = [node for node in GcsClient(address=found).get_all_node_info().values() if node.state == 0]  # ALIVE
    here = found == read_ray_address(None) or any(_is_here(node.node_manager_address) for node in nodes)
    if not here:
        names = ", ".join(sorted({str(node.node_manager_address) for node in nodes})[:4]) or "none"
        raise ClusterUnreachable(
            f"this machine is no node of the Ray cluster at {found} (its nodes: {names}); run the campaign on one of "
            f"them, or join it: RAY_AUTH_MODE=token ray start --address={found}"
        )


def use_token(start_here: bool) -> None:
    """Have Ray's token used where there is one; the file that it is in is to be read by its owner alone.

    Args:
        start_here: a Ray of our own will start, which makes a missing file itself, readable by everybody: it is made
            before, and one that Ray made so earlier is mended.

    Raises:
        ClusterUnreachable: a token is asked for and there is none, or others may read it.
    """
    file = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    if start_here:
        _keep_private(file)
    elif not os.environ.get("RAY_AUTH_TOKEN"):
        _require_private(file)
    if "RAY_AUTH_MODE" not in os.environ and (file.exists() or os.environ.get("RAY_AUTH_TOKEN")):
        os.environ["RAY_AUTH_MODE"] = "token"
        Config.initialize("")  # Ray reads the variable once, when it is imported


@contextmanager
def said_of(address: str) -> Iterator[None]:
    """What Ray raises while it connects, as one sentence.

    Raises:
        ClusterUnreachable: in place of Ray's error.
    """
    try:
        yield
    except ray.exceptions.AuthenticationError as error:
        raise ClusterUnreachable(
            f"the Ray cluster at {address} does not take our token; copy ~/.ray/auth_token of its head node here "
            "(chmod 600), and unset RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH and RAY_AUTH_MODE"
        ) from error
    except (RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
        text = " ".join(str(error).split())
        advice = "; start crystalloop and the cluster from the same environment" if "ersion mismatch" in text else ""
        raise ClusterUnreachable(f"the Ray cluster at {address} cannot be used: {text[:400]}{advice}") from error


def _resolved(address: str) -> str:
    """As host:port."""
    wanted = "ray.address is `auto`, or host:6379 of a cluster that this machine is a node of"
    if "://" in address:
        raise ClusterUnreachable(f"Ray address {address!r}: training does not run through a client or a job; {wanted}")
    try:
        found = canonicalize_bootstrap_address(address)
    except ConnectionError as error:
        raise ClusterUnreachable(
            "no Ray cluster runs on this machine (ray.address: auto); start one with `ray up cluster.yaml` or "
            "`ray start --head`, or leave ray.address out: the campaign starts a Ray of its own then"
        ) from error
    except (ValueError, OSError) as error:
        raise ClusterUnreachable(f"Ray address {address!r} is none ({error}); {wanted}") from error
    if found is None:
        raise ClusterUnreachable(f"Ray address {address!r} names no cluster; {wanted}")
    return str(found)


def _require_answer(address: str, found: str) -> None:
    """Something that speaks gRPC listens at host:port."""
    host, _, port = found.rpartition(":")
    named = found if address == found else f"{found} (ray.address: {address})"
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S) as connection:
            connection.sendall(HTTP2_PREFACE)
            answer = b"" if os.environ.get("RAY_USE_TLS", "0") == "1" else connection.recv(9)
    except TimeoutError as error:
        raise ClusterUnreachable(f"nothing answers at {named} in {ANSWER_S:g} s; is a firewall between?") from error
    except (OSError, ValueError, OverflowError) as error:
        raise ClusterUnreachable(
            f"no Ray cluster answers at {named} ({error}): it has ended, or the address is wrong; `ray status` says "
            "which runs, `ray up cluster.yaml` or `ray start --head` starts one"
        ) from error
    if answer[3:4] != bytes([SETTINGS]) and os.environ.get("RAY_USE_TLS", "0") != "1":
        raise ClusterUnreachable(
            f"what listens at {named} is no Ray cluster: its port is 6379 unless `ray start --head --port` said "
            "otherwise; 8265 is the dashboard's, 10001 that of Ray's client"
        )


def _is_here(host: str) -> bool:
    """Whether an address is one of this machine: only then can it be bound."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True


def _keep_private(file: Path) -> None:
    if not file.exists():
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as new:
            new.write(os.urandom(32).hex())
    elif _others_may(file):
        file.chmod(0o600)


def _require_private(file: Path) -> None:
    if file.exists():
        if _others_may(file):
            raise ClusterUnreachable(
                f"{file} can be read by others (mode {stat.S_IMODE(file.stat().st_mode):04o}), and whoever has it runs "
                f"code on the cluster: chmod 600 {file}"
            )
    elif os.environ.get("RAY_AUTH_MODE", "").lower() == "token":
        raise ClusterUnreachable(
            f"RAY_AUTH_MODE is token and there is no token: copy {file} of the cluster's head node here, chmod 600"
        )


def _others_may(file: Path) -> bool:
    return bool(file.stat().st_mode & 0o077)
