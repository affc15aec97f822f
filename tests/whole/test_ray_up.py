"""`ray up cluster.yaml`, a campaign on it, `ray down`: over an sshd of our own on loopback, with user, key and address changed.

All of it happens in a network, a process tree and a /tmp/ray of its own (Linux namespaces), because `ray stop`, which
`ray down` calls, ends every Ray process that it sees.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SSHD = shutil.which("sshd", path="/usr/sbin:/sbin:" + os.environ.get("PATH", ""))
APART = ["unshare", "--pid", "--net", "--mount", "--fork", "--kill-child", "--mount-proc"]
CAMPAIGN = """
name: small
seed: 3
elements: [Li, F]
prototypes: [rocksalt_B1, CsCl_B2]
target: {direction: minimise}
rounds: 2
voxels: {n: 16}
generate: {per_round: 64, scale: 0.6}
networks:
  minimum_labels: 1
  steps: {unet: 60, vae: 120, cgcnn: 20}
ray: {address: auto}
dft: {preset: test, slots: 2, per_round: 1}
"""
SSHD_CONFIG = """
Port 22
ListenAddress 127.0.0.1
HostKey {place}/host_key
PidFile {place}/sshd.pid
AuthorizedKeysFile {place}/key.pub
PasswordAuthentication no
UsePAM no
StrictModes no
PermitRootLogin yes
SetEnv HOME={home} PYTHONPATH={home}/crystalloop/src CRYSTALLOOP_PSEUDOS={pseudos} CRYSTALLOOP_PW={pw}
"""
SCRIPT = """
set -u
mkdir -p /tmp/ray && mount --bind {place}/ray /tmp/ray && mount -t tmpfs tmpfs /run && mkdir -p /run/sshd || exit 90
ip link set lo up && {sshd} -f {place}/sshd_config -E {place}/sshd.log || exit 90
cd {checkout}
say() {{ echo "== $1"; }}
say up; {ray} up cluster.yaml --yes </dev/null 2>&1 || exit 91
say status
{ray} exec cluster.yaml 'for i in $(seq 30); do ray status 2>&1 | tee s | grep -q "Total Usage" && break; sleep 2; done
cat s; stat -c "mode %a" ~/.ray/auth_token' </dev/null
say run; {ray} exec cluster.yaml 'cd ~/crystalloop && crystalloop run campaigns/small.yaml --json' </dev/null 2>&1
say down; {ray} down cluster.yaml --yes </dev/null 2>&1
say left; cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -oE "[r]aylet|[g]cs_server|[r]ay::|[a]utoscaler|[d]ashboard"
say end
"""


def why_not() -> str:
    """The reason why this machine cannot try it; empty where it can."""
    if SSHD is None:
        return "no sshd (openssh-server)"
    missing = [name for name in ("ssh", "ssh-keygen", "rsync", "unshare", "ip", "mount") if shutil.which(name) is None]
    if missing:
        return f"no {', '.join(missing)}; apt-get install openssh-client rsync util-linux iproute2"
    if os.geteuid() or subprocess.run([*APART, "true"], capture_output=True, check=False).returncode:
        return "namespaces of our own are not permitted here; without them other Ray processes would be ended"
    return ""


@pytest.fixture(scope="module")
def place(tmp_path_factory, pw_command, pseudo_folder):
    """A user's folder, a checkout with four lines of cluster.yaml changed, an sshd's files, and a node's environment."""
    if reason := why_not():
        pytest.skip(f"ray up is not tried: {reason}")
    place = tmp_path_factory.mktemp("cluster")
    home, checkout = place / "home", place / "checkout"
    for folder in (place / "ray", home / ".ray", checkout):
        folder.mkdir(parents=True)
    for name in ("key", "host_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(place / name)], check=True)
    (home / ".ray" / "auth_token").write_text("5" * 64)
    (home / ".ray" / "auth_token").chmod(0o600)
    _copy_checkout(checkout)
    _make_environment(home / "crystalloop" / ".venv", checkout)
    values = {"place": place, "home": home, "pseudos": pseudo_folder.resolve(), "pw": pw_command, "sshd": SSHD}
    values |= {"checkout": checkout, "ray": Path(sys.executable).with_name("ray")}
    (place / "sshd_config").write_text(SSHD_CONFIG.format(**values))
    (place / "script.sh").write_text(SCRIPT.format(**values))
    file = checkout / "cluster.yaml"
    text = file.read_text()
    changes = {"ssh_user: ubuntu": f"ssh_user: {getpass.getuser()}", "~/.ssh/id_ed25519": str(place / "key")}
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)
    return place


def _copy_checkout(checkout: Path) -> None:
    mounts = yaml.safe_load((ROOT / "cluster.yaml").read_text())["file_mounts"]
    for local in [*mounts.values(), "cluster.yaml"]:
        if not local.startswith("~"):
            copy = shutil.copytree if (ROOT / local).is_dir() else shutil.copy2
            options = (
                {"symlinks": True, "ignore": shutil.ignore_patterns("__pycache__")} if (ROOT / local).is_dir() else {}
            )
            copy(ROOT / local, checkout / local, **options)
    (checkout / "campaigns" / "small.yaml").write_text(CAMPAIGN)


def _make_environment(venv: Path, checkout: Path) -> None:
    """What set-up would take minutes to make: the commands of this environment, and the mark that it is up to date."""
    (venv / "bin").mkdir(parents=True)
    for name in ("python", "ray", "crystalloop"):
        command = venv / "bin" / name
        command.write_text(f'#!/bin/sh\nexec {Path(sys.executable).with_name(name)} "$@"\n')
        command.chmod(0o755)
    locked = (checkout / "requirements.lock").read_bytes() + (checkout / "pyproject.toml").read_bytes()
    (venv / ".crystalloop-lock").write_text(hashlib.sha256(locked).hexdigest())


@pytest.fixture(scope="module")
def told(place):
    """What the terminal showed, by section."""
    environment = {**os.environ, "HOME": str(place / "home"), "RAY_AUTH_MODE": "token"}
    done = subprocess.run(
        [*APART, "sh", str(place / "script.sh")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    text = done.stdout + done.stderr
    if done.returncode == 90:
        pytest.skip(f"no sshd in namespaces here: {text[-300:]}")
    assert "== end" in text, text[-4000:]
    parts = text.split("\n== ")
    return {part.partition("\n")[0].removeprefix("== "): part.partition("\n")[2] for part in parts}


@pytest.mark.pw
@pytest.mark.slow
def test_the_cluster_starts_with_user_key_and_address_changed_and_nothing_else(told):
    assert "Total Usage" in told["status"]
    assert "mode 600" in told["status"]


@pytest.mark.pw
@pytest.mark.slow
def test_a_campaign_with_defaults_trains_and_proposes_on_it(told):
    assert '"versions": 1' in told["run"] or "small-v1" in told["run"], told["run"][-3000:]
    assert '"completed": true' in told["run"]


@pytest.mark.pw
@pytest.mark.slow
def test_nothing_of_it_is_left_after_ray_down(told):
    assert "No nodes remaining" in told["down"]
    assert told["left"].strip() == ""
