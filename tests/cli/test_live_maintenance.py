"""One chore that fails does not keep the others from being done."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from cli import live_maintenance
from cli.live_maintenance import LiveMaintenance
from cli.settings import RetentionSettings
from pipeline import clock_steps
from tests.servers import until
from tests.stages.test_annotate import PATH, row
from watchlist.store import Store


def test_a_watchlist_out_of_reach_is_told_once_and_the_rest_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    looks: list[str] = []

    def follow(self: LiveMaintenance) -> None:
        looks.append("")
        raise OSError("the share is gone" if len(looks) < 4 else "the share is stale")

    monkeypatch.setattr(live_maintenance, "LOOK_S", 0.02)
    monkeypatch.setattr(LiveMaintenance, "_follow", follow)
    monkeypatch.setattr(LiveMaintenance, "_tidy", lambda self: done.append("tidy"))
    monkeypatch.setattr(LiveMaintenance, "_purge", lambda self: done.append("purge"))
    Store(tmp_path / "w.db").close()
    with capture_logs() as told:
        keeper = LiveMaintenance(tmp_path / "w.db", tmp_path / "out", RetentionSettings(match=1))
        until(lambda: len(looks) > 6)
        keeper.close()
    assert done == ["tidy", "purge"]
    assert [line["what"] for line in told] == ["housekeeping: the share is gone", "housekeeping: the share is stale"]


def test_tracks_of_a_reader_that_died_are_finished_and_get_their_line(tmp_path: Path) -> None:
    store = Store(tmp_path / "farsight.db")
    for track, final, ended in (("x-0001", 1, 1000.0), ("x-0002", 0, 1000.0), ("x-0003", 0, 9e9)):
        store.put_tracks([row(PATH) | {"track": track, "final": final, "started_at": 990.0, "ended_at": ended}])
    keeper = LiveMaintenance(tmp_path, tmp_path, RetentionSettings())
    keeper.close()
    for _ in range(2):
        keeper._tidy()
    assert [json.loads(line)["track"] for line in (tmp_path / "sightings.jsonl").read_text().splitlines()] == ["x-0002"]
    assert store.is_final("cam", "x-0002") and not store.is_final("cam", "x-0003")


def test_a_clock_that_jumps_a_year_ahead_purges_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LiveMaintenance, "_run", lambda self: None)
    purged: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        purged.append(command)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(live_maintenance.subprocess, "run", run)
    keeper = LiveMaintenance(tmp_path, tmp_path, RetentionSettings(match=30))
    keeper._purge()
    assert len(purged) == 1
    now, steady = time.time, clock_steps.boot_clock_s
    monkeypatch.setattr(clock_steps.time, "time", lambda: now() + 365 * 86_400)
    with pytest.raises(RuntimeError, match=r"the clock was set by \+3153\d{4} s; nothing is purged"):
        keeper._purge()
    monkeypatch.setattr(clock_steps, "boot_clock_s", lambda: steady() + 86_401)
    monkeypatch.setattr(clock_steps.time, "time", lambda: now() + 366 * 86_400)
    keeper._purge()  # it has run steadily for a day
    assert len(purged) == 2
