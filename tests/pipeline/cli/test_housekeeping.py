"""One chore that fails does not keep the others from being done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from pipeline.cli import housekeeping
from pipeline.cli.housekeeping import Housekeeping
from pipeline.settings import RetentionSettings
from tests.servers import until
from tests.stages.test_annotate import PATH, row
from watchlist.store import Store


def test_a_watchlist_out_of_reach_is_told_once_and_the_rest_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    looks: list[str] = []

    def follow(self: Housekeeping) -> None:
        looks.append("")
        raise OSError("the share is gone" if len(looks) < 4 else "the share is stale")

    monkeypatch.setattr(housekeeping, "LOOK_S", 0.02)
    monkeypatch.setattr(Housekeeping, "_follow", follow)
    monkeypatch.setattr(Housekeeping, "_tidy", lambda self: done.append("tidy"))
    monkeypatch.setattr(Housekeeping, "_purge", lambda self: done.append("purge"))
    Store(tmp_path / "w.db").close()
    with capture_logs() as told:
        keeper = Housekeeping(tmp_path / "w.db", tmp_path / "out", RetentionSettings(match=1))
        until(lambda: len(looks) > 6)
        keeper.close()
    assert done == ["tidy", "purge"]
    assert [line["what"] for line in told] == ["housekeeping: the share is gone", "housekeeping: the share is stale"]


def test_tracks_of_a_reader_that_died_are_finished_and_get_their_line(tmp_path: Path) -> None:
    store = Store(tmp_path / "farsight.db")
    for track, final, ended in (("x-0001", 1, 1000.0), ("x-0002", 0, 1000.0), ("x-0003", 0, 9e9)):
        store.put_tracks([row(PATH) | {"track": track, "final": final, "started_at": 990.0, "ended_at": ended}])
    keeper = Housekeeping(tmp_path, tmp_path, RetentionSettings())
    keeper.close()
    for _ in range(2):
        keeper._tidy()
    assert [json.loads(line)["track"] for line in (tmp_path / "sightings.jsonl").read_text().splitlines()] == ["x-0002"]
    assert store.is_final("cam", "x-0002") and not store.is_final("cam", "x-0003")
