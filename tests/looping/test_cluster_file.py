"""cluster.yaml stays pure Ray."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

CLUSTER = Path(__file__).parents[2] / "cluster.yaml"


def test_rays_own_validator_accepts_the_cluster_file_and_no_key_of_ours(tmp_path, monkeypatch):
    from jsonschema import ValidationError
    from ray.autoscaler._private.util import prepare_config, validate_config

    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))  # the local provider keeps a state file there
    config = yaml.safe_load(CLUSTER.read_text())
    validate_config(prepare_config(config))
    with pytest.raises(ValidationError, match="campaign"):
        validate_config(prepare_config(config | {"campaign": "first"}))


def test_the_cluster_asks_for_a_token_and_keeps_the_dashboard_on_loopback():
    config = yaml.safe_load(CLUSTER.read_text())
    starts = [line for key in ("head_start_ray_commands", "worker_start_ray_commands") for line in config[key]]
    starts = [line for line in starts if "ray start" in line]
    assert len(starts) == 2
    assert all("RAY_AUTH_MODE=token" in line for line in starts)
    assert "--dashboard-host=127.0.0.1" in starts[0]


def test_every_line_that_calls_ray_has_its_environment_and_ends_no_other_ray():
    config = yaml.safe_load(CLUSTER.read_text())
    starts = [line for key in ("head_start_ray_commands", "worker_start_ray_commands") for line in config[key]]
    assert not [line for line in starts if "ray stop" in line]
    assert all(line.startswith(". ~/crystalloop/scripts/cluster_env.sh && ") for line in starts if "ray start" in line)
    assert "RAY_enable_autoscaler_v2=0" in config["head_start_ray_commands"][-1]  # with v2 no worker ever joins


def test_what_is_copied_is_all_that_the_nodes_call_and_the_token():
    config = yaml.safe_load(CLUSTER.read_text())
    mounts = config["file_mounts"]
    assert mounts["~/.ray/auth_token"] == "~/.ray/auth_token"
    local = {path for path in mounts.values() if not path.startswith("~")}
    assert all((CLUSTER.parent / path).exists() for path in local)
    # What setup.sh and the editable install read, and where src/crystalloop leads.
    needed = {
        "orchestrator",
        "models",
        "dft",
        "db",
        "src",
        "scripts",
        "pyproject.toml",
        "requirements.lock",
        "README.md",
    }
    assert needed <= local
    assert all(remote == f"~/crystalloop/{path}" for remote, path in mounts.items() if path in local)


def node_script(home, name, *arguments):
    return subprocess.run(
        ["sh", str(CLUSTER.parent / "scripts" / name), *arguments],
        env={"HOME": str(home), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def node(tmp_path):
    """A machine's home with a token and a set-up that does nothing."""
    (tmp_path / ".ray").mkdir(mode=0o755)
    (tmp_path / ".ray" / "auth_token").write_text("5" * 64)
    (tmp_path / ".ray" / "auth_token").chmod(0o600)
    (tmp_path / "crystalloop" / "scripts").mkdir(parents=True)
    (tmp_path / "crystalloop" / "scripts" / "setup.sh").write_text('echo "set up: $1"\n')
    return tmp_path


def test_a_node_keeps_its_token_private_and_finds_ray_and_is_set_up_twice_as_once(node):
    (node / ".bashrc").write_text("# mine\n")
    for _ in range(2):
        done = node_script(node, "cluster_node.sh")
        assert (done.returncode, done.stdout.strip()) == (0, "set up: python"), done.stderr
    lines = (node / ".bashrc").read_text().splitlines()
    assert lines[0] == "# mine"
    assert len(lines) == 2
    assert (node / ".ray").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_token_that_others_may_read_ends_the_set_up_of_a_node(node, mode):
    (node / ".ray" / "auth_token").chmod(mode)
    done = node_script(node, "cluster_node.sh")
    assert done.returncode == 1
    assert f"can be read by others (mode {mode:o})" in done.stderr
    assert "chmod 600 ~/.ray/auth_token" in done.stderr


def test_a_node_without_a_token_is_not_set_up(node):
    (node / ".ray" / "auth_token").unlink()
    done = node_script(node, "cluster_node.sh")
    assert (done.returncode, "no token in" in done.stderr) == (1, True)


def test_ending_what_is_left_of_the_cluster_ends_what_names_its_port_and_nothing_else(tmp_path):
    sleeps = {
        port: subprocess.Popen(
            [sys.executable, "-c", "input()", f"--gcs-address=127.0.0.1:{port}", "x"], stdin=subprocess.PIPE
        )
        for port in (61234, 61235)
    }
    try:
        assert node_script(tmp_path, "cluster_stop.sh", "61234").returncode == 0
        assert sleeps[61234].wait(timeout=30) == -signal.SIGTERM
        assert sleeps[61235].poll() is None
    finally:
        for process in sleeps.values():
            process.kill()
            process.communicate()


def test_a_node_is_known_by_its_address_towards_the_head(node):
    (node / "ray_bootstrap_config.yaml").write_text(
        '{"cluster_name": "x", "provider": {"head_ip": "127.0.0.1", "type": "local"}}'
    )
    python = node / "crystalloop" / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    assert node_script(node, "cluster_address.sh").stdout.strip() == "127.0.0.1"
    starts = [line for line in CLUSTER.read_text().splitlines() if "ray start" in line]
    assert [line.count("--node-ip-address=$(sh ~/crystalloop/scripts/cluster_address.sh)") for line in starts] == [1, 1]
