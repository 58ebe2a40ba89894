"""Starts Ray on loopback, private to the user, or joins the cluster of RAY_ADDRESS."""

from __future__ import annotations

import logging
import secrets
import socket
import tempfile
from pathlib import Path
from typing import Any

from pipeline import __version__
from pipeline.checkpoints import file_stamp
from pipeline.engine import Job, cores
from pipeline.errors import SettingsError
from pipeline.owned_folders import delete_owned_folder, owned_folder
from pipeline.ray.environment import NodeAffinitySchedulingStrategy, RayError, cluster_address, ray

CONNECT_S = 5.0
PROBE_S = 60.0  # for a worker to start on another machine
OBJECT_STORE_BYTES = 256 * 1024 * 1024  # only chips travel, a few MB at a time
TEMP_PREFIX = "farsight-"
LONGEST_TEMP = 20  # characters; Ray's sockets lie below it, and their paths may have 107
COMMON: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}


class Cluster:
    """A connection to Ray: one that is connected already, the cluster of RAY_ADDRESS, or one that is started here.

    Raises:
        SettingsError: there is no cluster at RAY_ADDRESS, or Ray does not start.
    """

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._own = not ray.is_initialized()
        if not self._own:
            return
        if address := cluster_address():
            _join(address)
        else:
            self._folder = _start()

    def close(self) -> None:
        """Disconnect; end a Ray that was started here."""
        if self._own:
            ray.shutdown()
        if self._folder is not None:
            delete_owned_folder(self._folder)


def _start() -> Path:
    """Start a local Ray without dashboard. Returns the folder of its logs and sockets, which only this user can enter."""
    system = tempfile.gettempdir()
    folder = owned_folder(Path(system if len(system) <= LONGEST_TEMP else "/tmp"), TEMP_PREFIX)
    # More logical than real cores: the settings decide how many actors run, Ray must not refuse to start one.
    own = {"num_cpus": max(8, 4 * cores()), "object_store_memory": OBJECT_STORE_BYTES, "include_dashboard": False}
    try:
        # Ray opens the folder it is given to everybody, so it gets one inside ours.
        ray.init(address="local", _temp_dir=str(folder / "ray"), **own, **COMMON)
        _require_loopback()
    except BaseException as error:
        ray.shutdown()
        delete_owned_folder(folder)
        if isinstance(error, Exception):  # Ray raises just that, where the machine is too busy or too small for its processes
            raise SettingsError(
                f"engine = ray: Ray did not start ({_first_line(error)}); recordings need none with --engine inline"
            ) from None
        raise
    return folder


def _require_loopback() -> None:
    """Raises RuntimeError where ray was imported by something else first, without our environment."""
    if outside := {node["NodeManagerAddress"] for node in ray.nodes()} - {"127.0.0.1"}:
        raise RuntimeError(f"it listens on {min(outside)}, not on loopback only, because ray was imported before Farsight")


def _join(address: str) -> None:
    """Join a cluster; Ray itself would wait minutes for one that is not there."""
    if "://" in address:
        raise SettingsError(
            f"RAY_ADDRESS = {address}: Ray Client is not supported; run on a machine of the cluster with RAY_ADDRESS=HOST:PORT"
        )
    host, _, port = address.rpartition(":")
    try:
        if port.isdigit():
            socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()
        ray.init(**COMMON)
    except (OSError, OverflowError, RuntimeError, ValueError, RayError) as error:
        raise SettingsError(f"RAY_ADDRESS = {address}: no cluster to join there ({_first_line(error)})") from None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def on_this_machine() -> NodeAffinitySchedulingStrategy:
    """Scheduling for an actor that opens a database: SQLite loses writes on a network file system."""
    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)


def require_shared(job: Job) -> None:
    """Check that every machine of the cluster has this version of Farsight, the output folder and the sources.

    Each machine must find a file that is written here for the check: a folder of the same name is not enough.

    Raises:
        SettingsError: it names the machine and what it lacks.
    """
    here = ray.get_runtime_context().get_node_id()
    others = [node for node in ray.nodes() if node["Alive"] and node["NodeID"] != here]
    if not others:
        return
    out, word = job.context.get("out"), secrets.token_hex(16)
    files = {spec.url: stamp for spec in job.sources if (stamp := file_stamp(spec.url))}
    proof = Path(out) / f".farsight-{word}" if out else None
    try:
        if proof:
            proof.write_text(word)
        for node in others:
            place = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            ask = ray.remote(_lacks).options(scheduling_strategy=place, num_cpus=0, max_retries=0)
            try:
                lacks = ray.get(ask.remote(__version__, proof, word, files), timeout=PROBE_S)
            except RayError as error:  # a worker that cannot even import this module
                lacks = f"Farsight {__version__} ({str(error).strip().splitlines()[-1]})"
            if lacks:
                raise SettingsError(
                    f"RAY_ADDRESS: machine {node['NodeManagerAddress']} of the cluster lacks {lacks}; "
                    "share it at the same path, or run without RAY_ADDRESS"
                )
    finally:
        if proof:
            proof.unlink(missing_ok=True)


def _lacks(version: str, proof: Path | None, word: str, files: dict[str, str]) -> str:
    """What this machine does not have of what a run needs; "" if it has all."""
    if __version__ != version:
        return f"Farsight {version}, it has {__version__}"
    if proof is not None and not (proof.is_file() and proof.read_text() == word):
        return f"the output folder {proof.parent}"
    return next((path for path, stamp in files.items() if file_stamp(path) != stamp), "")
