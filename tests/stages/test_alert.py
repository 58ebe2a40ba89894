"""When an alert is raised, kept back, or withdrawn."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import OutputError
from stages import storage_retry
from stages.alert import Alert
from stages.record import Record
from stages.records import Shot, Sighting, Template, Track
from tests.running import ROOT
from tests.servers import until
from watchlist.store import Store

SHOT = Shot(1.0, np.zeros(4, np.float32), 0.9, 20.0, 9.0, 0.5, np.zeros((16, 16, 3), np.uint8), b"PNG")
PEOPLE = {1: "Ada", 2: "Bo"}


def sighting(track: str, identity: int | None, version: int = 1, source: str = "gate", epoch: float | None = None) -> Sighting:
    path = np.zeros((1, 5), np.float32)
    seen = Track(source, track, version, False, 0.0, 1.0, path, (SHOT,), None, {}, captured=1.7e9, epoch=epoch)
    outcome = "no_match" if identity is None else "match"
    return Sighting(Template(seen, None, None, 0.5), outcome, identity, PEOPLE.get(identity or 0), 0.6, 0.4, 0.01, 20.0, ())


class Watch:
    """Record and Alert as they run one behind the other."""

    def __init__(self, out: Path, cooldown_s: float = 60.0, keep_trying: bool = False) -> None:
        settings = {"cooldown_s": cooldown_s}
        self.out = out
        self.record = Record(out, out / "f.db", keep_trying=keep_trying, alerts=settings)
        self.alert = Alert(out, out / "f.db", settings)
        self.record.open()
        self.alert.open()

    def process(self, batch: list[Sighting]) -> None:
        self.alert.process(self.record.process(batch))

    def counters(self) -> dict[str, int]:
        return self.record.counters() | self.alert.counters()

    def close(self) -> None:
        self.record.close()
        self.alert.close()


@pytest.fixture
def alert(tmp_path: Path) -> Iterator[Watch]:
    found = Watch(tmp_path)
    yield found
    found.close()


def told(alert: Watch, count: int) -> list[tuple[Any, ...]]:
    """The lines of the file, once there are so many."""
    path = alert.out / "alerts.jsonl"
    until(lambda: path.exists() and len(path.read_text().splitlines()) == count)
    found = [json.loads(line) for line in path.read_text().splitlines()]
    return [(line["camera"], line["track"], line["kind"], line["name"]) for line in found]


def test_one_alert_a_track_and_its_withdrawal(alert: Watch) -> None:
    alert.process(
        [sighting("t1", None), sighting("t1", 1, 2), sighting("t1", 1, 3), sighting("t1", 2, 4), sighting("t1", None, 5)]
    )
    assert told(alert, 4) == [
        ("gate", "t1", "match", "Ada"),
        ("gate", "t1", "withdrawn", "Ada"),
        ("gate", "t1", "match", "Bo"),
        ("gate", "t1", "withdrawn", "Bo"),
    ]
    line = json.loads((alert.out / "alerts.jsonl").read_text().splitlines()[0])
    assert (
        line["captured"] == "2023-11-14T22:13:20.000+00:00" and line["crop"] == "crops/gate/t1-crop.png" and line["score"] == 0.6
    )


def test_cool_down_is_per_camera_and_person(alert: Watch) -> None:
    alert.process([sighting("t1", 1), sighting("t2", 1), sighting("t3", 2), sighting("t4", 1, source="yard")])
    assert told(alert, 3) == [("gate", "t1", "match", "Ada"), ("gate", "t3", "match", "Bo"), ("yard", "t4", "match", "Ada")]
    assert alert.counters()["alerts: in cool-down"] == 1


def test_a_match_suppressed_by_the_cool_down_is_alerted_when_the_first_alert_is_withdrawn(alert: Watch) -> None:
    old, quiet = sighting("t0", 1, epoch=0.0), sighting("t2", 1, epoch=time.time())
    alert.process([sighting("t1", 1), old, quiet])
    alert.process([sighting("t1", None, 2)])
    assert told(alert, 3)[1:] == [("gate", "t1", "withdrawn", "Ada"), ("gate", "t2", "match", "Ada")]
    alert.process([sighting("t2", 1, 2)])
    told(alert, 3)  # told of once


def test_a_withdrawn_alert_does_not_suppress_the_alert_of_the_right_person(alert: Watch) -> None:
    alert.process([sighting("t1", 1), sighting("t1", None, 2), sighting("t2", 1)])
    assert told(alert, 3)[-1] == ("gate", "t2", "match", "Ada")


def test_a_track_whose_score_swings_about_the_threshold_raises_one_more_alert_at_its_end(alert: Watch) -> None:
    alert.record._alerts._cooldown_s = 0.0
    alert.process([sighting("t1", 1 if n % 2 else None, n) for n in range(1, 8)])
    assert [line[2] for line in told(alert, 2)] == ["match", "withdrawn"]
    last = sighting("t1", 1, 9)
    last = replace(last, template=replace(last.template, track=replace(last.track, final=True)))
    alert.process([last])
    assert [line[2] for line in told(alert, 3)] == ["match", "withdrawn", "match"]


def test_the_same_batch_again_raises_no_alert_even_after_a_restart(alert: Watch, tmp_path: Path) -> None:
    alert.process([sighting("t1", 1)])
    told(alert, 1)
    alert.close()
    again = Watch(tmp_path, cooldown_s=0)
    again.process([sighting("t1", 1), sighting("t2", 1)])
    assert [line[1] for line in told(again, 2)] == ["t1", "t2"]
    again.close()


def test_alerts_wait_for_a_locked_database(alert: Watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_retry, "BACKOFF_S", (0.05, 0.1))
    alert.record._store._db.execute("PRAGMA busy_timeout = 50")
    other = sqlite3.connect(tmp_path / "f.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(OutputError, match="database is locked"):
        alert.process([sighting("t1", 1)])
    alert.record._keep_trying = True
    threading.Timer(0.5, lambda: other.execute("ROLLBACK")).start()
    alert.process([sighting("t1", 1)])
    assert told(alert, 1) == [("gate", "t1", "match", "Ada")]
    assert alert.counters()["trouble: writing: database is locked"] >= 2
    other.close()


def test_an_early_track_without_a_shot_can_be_withdrawn(alert: Watch) -> None:
    bare = sighting("t1", None, 2)
    bare = replace(bare, template=replace(bare.template, track=replace(bare.track, shots=())))
    alert.process([sighting("t1", 1), bare])
    assert told(alert, 2)[1] == ("gate", "t1", "withdrawn", "Ada")
    assert json.loads((alert.out / "alerts.jsonl").read_text().splitlines()[1])["crop"] is None


def test_an_alert_of_a_person_who_was_removed_meanwhile_is_sent(alert: Watch, tmp_path: Path) -> None:
    store = Store(tmp_path / "f.db")
    store.remove_identity(store.add_identity("Ada"))
    store.close()
    alert.process([sighting("t1", 1)])
    assert told(alert, 1) == [("gate", "t1", "match", "Ada")]


KILLED = """
import os, signal, sys
from pathlib import Path
from stages.record import Record
from tests.stages.test_alert import sighting
out = Path(sys.argv[1])
record = Record(out, out / "f.db", keep_trying=True, alerts={"cooldown_s": 60})
record.open()
if sys.argv[2] == "before":
    put = record._store.put_tracks
    record._store.put_tracks = lambda rows: (put(rows), os.kill(os.getpid(), signal.SIGKILL))
record.process([sighting("t1", 1)])
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("moment", ["before", "after"])
def test_kill_9_between_a_track_and_its_alert_loses_none(tmp_path: Path, moment: str) -> None:
    """Killed with the track written and its alert not yet told: either neither is there, or both are."""
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), moment], cwd=ROOT, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    store = Store(tmp_path / "f.db")
    tracks = [track["track"] for track in store.tracks(final_only=False)]
    store.close()
    assert tracks == ([] if moment == "before" else ["t1"])
    again = Watch(tmp_path)
    try:
        if moment == "after":
            assert told(again, 1) == [("gate", "t1", "match", "Ada")]
        again.process([sighting("t1", 1)])  # as Ray gives it again
        assert told(again, 1) == [("gate", "t1", "match", "Ada")]
    finally:
        again.close()


def test_a_late_older_report_withdraws_no_alert(alert: Watch) -> None:
    alert.process([sighting("t1", 1, 2)])
    alert.process([sighting("t1", None, 1)])
    alert.process([sighting("t2", 2)])
    assert [line[2:] for line in told(alert, 2)] == [("match", "Ada"), ("match", "Bo")]


def test_a_track_and_its_alert_are_rolled_back_together(alert: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch, pytest.raises(OutputError, match="disk is full"):
        patch.setattr(Store, "put_alerts", full)
        alert.process([sighting("t1", 1)])
    assert alert.record._store.tracks(final_only=False) == [] and "alerts: match" not in alert.counters()
    alert.process([sighting("t1", 1)])
    assert told(alert, 1) == [("gate", "t1", "match", "Ada")]
