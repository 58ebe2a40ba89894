"""Every command keeps what it opens on this machine: nobody else can reach a socket of it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from tests.running import command, watching
from tests.servers import free_port
from tests.sockets import listening, outside

# One after the other: a test looks for what others have left.
pytestmark = [pytest.mark.system, pytest.mark.xdist_group("cluster")]
OF_RAY = 6  # daemons of Ray listen on at least so many ports before any actor does


def watch_sockets(arguments: list[str], env: dict[str, str] | None = None) -> tuple[set[tuple[str, int]], int]:
    """Run a command until Ray and an actor listen, and end it; what others can reach, and the most sockets seen at once."""
    program = subprocess.Popen(
        arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, env=env or dict(os.environ)
    )
    reachable: set[tuple[str, int]] = set()
    most, until = 0, time.monotonic() + 90
    try:
        while program.poll() is None and most <= OF_RAY and time.monotonic() < until:
            most = max(most, len(listening(program.pid)))
            reachable |= outside(program.pid)
            time.sleep(0.2)
        program.send_signal(signal.SIGINT)
        program.wait(timeout=60)
    finally:
        program.kill()
        program.wait()
    return reachable, most


@pytest.mark.parametrize("name", ["run", "live", "search", "bench"])
def test_no_socket_can_be_reached_from_outside(name: str, corridor: Path, inline: Path, people: Path, tmp_path: Path) -> None:
    clip = corridor / "corridor.mp4"
    if name == "run":
        arguments: list[object] = [*watching(corridor, inline, tmp_path / "out"), "--no-video"]
    elif name == "live":
        cameras = [{"name": "gate", "url": str(clip)}]
        settings = {"cameras": cameras, "watchlist": str(people), "out": str(tmp_path / "out"), "metrics": {"port": free_port()}}
        (tmp_path / "live.yaml").write_text(yaml.safe_dump(settings))
        arguments = ["live", "--config", tmp_path / "live.yaml"]
    elif name == "search":
        shutil.copytree(inline, tmp_path / "other")
        photo = next((corridor / "people").glob("*/photo.png"))
        arguments = ["search", photo, "--db", inline, "--db", tmp_path / "other"]
    else:
        arguments = ["bench", "--source", clip]
    # Somebody's own wish for clusters must not open a Ray that nobody asked to be one.
    env = {**os.environ, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1", "RAY_ADDRESS": ""}
    reachable, most = watch_sockets(command(*arguments), env)
    assert reachable == set()
    assert most > OF_RAY, f"Ray was not seen: {most} sockets at most"
