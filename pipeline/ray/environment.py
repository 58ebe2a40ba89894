"""Sets the environment that Ray reads when it is imported, then imports it. All other modules import ray from here."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

OWN = ("", "local")  # values of RAY_ADDRESS that mean no cluster


def cluster_address() -> str:
    """The address of the cluster to join, from RAY_ADDRESS; "" if Ray is to be started here."""
    address = os.environ.get("RAY_ADDRESS", "").strip()
    return "" if address in OWN else address


def _set_environment() -> None:
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would send usage reports
    if cluster_address():
        if (Path.home() / ".ray" / "auth_token").exists():
            os.environ.setdefault("RAY_AUTH_MODE", "token")  # the cluster requires it then; ray.init does not set it
        return
    # Keeps a Ray of our own on the loopback interface. The name is historical, on Linux it does the same. `_node_ip_address`
    # would not do: Ray turns 127.0.0.1 into an outside address.
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    os.environ.setdefault("RAY_worker_niceness", "5")  # Ray's 15 leaves too little room below it for readers
    # A token for this run, readable by this user's processes only. Ray's own would be a file that everybody can read.
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


if "ray" not in sys.modules:  # a worker has imported it already, with the environment of the process that started Ray
    _set_environment()

import ray as ray
from ray.exceptions import GetTimeoutError as GetTimeoutError
from ray.exceptions import RayError as RayError
from ray.exceptions import RayTaskError as RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as NodeAffinitySchedulingStrategy
