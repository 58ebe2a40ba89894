"""``status.json``, which other programs show."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.engine import Status
from pipeline.monitoring import status_file
from pipeline.monitoring.status_file import StatusFile, read_status
from pipeline.protocol import SourceReport


def test_the_status_names_sources_without_passwords_and_says_when_the_run_has_ended(tmp_path: Path) -> None:
    file = StatusFile(tmp_path, command="live", config="/etc/live.yaml")
    file.update(Status(sources=[SourceReport("gate", "rtsp://u:secret@h/s", counts={"frames_searched": 7}, state="streaming")]))
    found = read_status(tmp_path)
    assert found["running"] and found["command"] == "live" and found["sources"][0]["state"] == "streaming"
    assert "secret" not in (tmp_path / "status.json").read_text()
    file.close()
    ended = read_status(tmp_path)
    assert not ended["running"] and ended["sources"][0]["name"] == "gate"


def test_the_speed_is_of_the_time_between_two_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(status_file.time, "monotonic", lambda: now[0])
    file = StatusFile(tmp_path)
    for at, count in ((100.0, 10), (100.5, 11), (102.0, 30)):
        now[0] = at
        file.update(Status(sources=[SourceReport("gate", "", counts={"frames_searched": count})]))
    assert read_status(tmp_path)["sources"][0]["per_s"] == 10.0


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"sources": 3}', "\x00"])
def test_a_damaged_status_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "status.json").write_text(content)
    assert read_status(tmp_path) == {}


def test_a_run_that_was_killed_does_not_run(tmp_path: Path) -> None:
    (tmp_path / "status.json").write_text(json.dumps({"running": True, "pid": 2**22 + 5, "sources": []}))
    assert read_status(tmp_path)["running"] is False
