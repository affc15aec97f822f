"""cluster.yaml stays pure Ray."""

from pathlib import Path

import yaml

CLUSTER = Path(__file__).parent.parent / "cluster.yaml"


def test_rays_own_validator_accepts_the_cluster_file():
    from ray.autoscaler._private.util import fillout_defaults, validate_config

    config = yaml.safe_load(CLUSTER.read_text())
    validate_config(config)
    # The filled-out file is what `ray up` really works with.
    validate_config(fillout_defaults(config))


def test_the_cluster_asks_for_a_token_and_keeps_the_dashboard_on_loopback():
    config = yaml.safe_load(CLUSTER.read_text())
    starts = [line for key in ("head_start_ray_commands", "worker_start_ray_commands") for line in config[key]]
    starts = [line for line in starts if "ray start" in line]
    assert len(starts) == 2
    assert all("RAY_AUTH_MODE=token" in line for line in starts)
    assert "--dashboard-host=127.0.0.1" in starts[0]
