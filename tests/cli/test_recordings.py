"""What an output folder knows of its recordings: names, times of day, what earlier runs read."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cli import recordings
from cli.recordings import StartOptions
from pipeline.checkpoints import Checkpoints
from pipeline.engine import Status
from pipeline.errors import SettingsError
from pipeline.protocol import SourceReport, SourceSpec
from tests.stages.test_annotate import PATH, row
from watchlist.retention import RetentionPolicy, purge
from watchlist.store import Store
from watchlist.tracks import TrackFilter

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC).timestamp()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found = Store(tmp_path / "farsight.db")
    found.put_tracks([row(PATH) | {"source": "cam", "outcome": "no_match", "start_s": 10.0, "end_s": 12.0}])
    found.put_tracks([row(PATH) | {"source": "gate", "started_at": NOON, "ended_at": NOON + 1}])  # a live camera
    recordings.store_sources(found, [SourceSpec("cam", "/rec/cam.mp4")])
    return found


def dated(store: Store, dating: StartOptions, read: float | None = None) -> SourceReport:
    report = SourceReport("cam", "/rec/cam.mp4", started_at=read, started_from="creation_time of the file" if read else "")
    starts = recordings.given_start_times([SourceSpec("cam", "/rec/cam.mp4")], dating)
    recordings.date_tracks(store, Status([], [report]), starts, dating)
    return report


def test_tracks_of_a_recording_get_their_time_of_day(store: Store) -> None:
    assert dated(store, StartOptions(), NOON).choices["start"].endswith("(creation_time of the file)")
    (track,) = store.tracks("cam")
    assert (track["started_at"], track["ended_at"]) == (NOON + 10, NOON + 12)


def test_what_the_user_told_stays_on_a_resume_until_something_else_is_told(store: Store) -> None:
    dated(store, StartOptions.of(["2026-03-04T13:00:00+01:00"], None, None), 5e8)
    assert store.tracks("cam")[0]["started_at"] == NOON + 10
    dated(store, StartOptions(), 5e8)
    assert store.tracks("cam")[0]["started_at"] == NOON + 10
    dated(store, StartOptions.of(["2026-03-04T14:00:00"], None, "+01:00"))
    assert store.tracks("cam")[0]["started_at"] == NOON + 3610


def test_a_recording_of_which_no_time_is_known_says_how_to_tell_it(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    report = dated(store, StartOptions())
    assert "--start" in report.choices["start"] and "the time of day is not known of cam" in capsys.readouterr().out
    assert store.tracks("cam")[0]["started_at"] is None


def test_a_recording_with_a_time_of_day_is_no_live_camera(store: Store, tmp_path: Path) -> None:
    dated(store, StartOptions(), NOON)
    assert not store.is_camera("cam") and store.is_camera("gate")
    purge(store, tmp_path, RetentionPolicy({"no_match": 0.0, "match": 0.0}), now=NOON + 1e9)
    assert [t["source"] for t in store.tracks()] == ["cam"]  # a recording's folder is deleted as a whole
    store.delete_tracks_after("cam", None)
    assert store.tracks() == []  # and a resume reads it again


def test_names_of_earlier_runs_are_kept_also_those_of_versions_without_a_list(store: Store, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "farsight.db")
    checkpoints.save("cam-2", "/rec/b/cam.mp4", 1.0, False, b"")
    store.close()
    specs = [SourceSpec("b-cam", "/rec/b/cam.mp4"), SourceSpec("rec-cam", "/rec/cam.mp4"), SourceSpec("new", "/rec/new.mp4")]
    assert [s.name for s in recordings.reuse_earlier_names(tmp_path, specs)] == ["cam-2", "cam", "new"]
    with pytest.raises(SettingsError, match=r"cam was /rec/cam.mp4 in the earlier run, now it is /other/cam.mp4"):
        recordings.reuse_earlier_names(tmp_path, [SourceSpec("cam", "/other/cam.mp4")])


def test_recordings_that_only_earlier_runs_read_stay_in_the_report(store: Store, tmp_path: Path) -> None:
    recordings.store_sources(store, [SourceSpec("half", "/rec/half.mp4")])
    checkpoints = Checkpoints(tmp_path / "farsight.db")
    read = SourceReport("cam", "/rec/cam.mp4", position_s=20.0)
    checkpoints.save("cam", "/rec/cam.mp4", 20.0, True, json.dumps(asdict(read)).encode())
    found = recordings.earlier_reports(store, tmp_path, [SourceSpec("new", "/rec/new.mp4")])
    assert [(r.name, r.status, r.position_s) for r in found] == [("cam", "ok", 20.0), ("half", "stopped", 0.0)]
    assert "not among the sources" in found[1].reason


def test_a_search_by_the_hour_finds_recordings(store: Store) -> None:
    dated(store, StartOptions(), NOON)
    clause, given = TrackFilter(since_at=NOON, until_at=NOON + 60).clause()
    found = store._db.execute(f"SELECT t.source FROM tracks t {clause} ORDER BY source", given)
    assert [r[0] for r in found] == ["cam", "gate"]
