"""When recordings began."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pipeline.errors import SettingsError
from pipeline.protocol import SourceReport, SourceSpec
from pipeline.sources.start_times import NamePattern, StartTime, report_start_times, resolve_start_times, time_zone

AT = datetime(2026, 11, 30, 16, 5, 10, tzinfo=UTC).timestamp()
BERLIN = "+01:00"


@pytest.mark.parametrize(
    "pattern, url",
    [
        ("%Y%m%d_%H%M%S", "/rec/gate_20261130_170510.mp4"),
        ("%Y%m%d_%H%M%S", "/rec/20200101_000000/cam07-20261130_170510_1.mp4"),  # the name, not the folder
        ("%Y-%m-%d/%H/*/%M.%S", "/rec/2026-11-30/17/gate/05.10.mp4"),
        ("%Y%m%dT%H%M%S%z", "/rec/20261130T160510Z.mp4"),
        ("%d%b%y %I.%M.%S %p", "/rec/30Nov26 05.05.10 PM.avi"),
        ("%s", f"/rec/gate-{AT:.0f}.ts"),
        ("%Y%m%d%H%M%S", "https://h/rec/20261130170510.mp4?sig=20200101000000"),
    ],
)
def test_the_time_in_a_name_is_found(pattern: str, url: str) -> None:
    assert NamePattern(pattern).find(url, time_zone(BERLIN)) == AT


@pytest.mark.parametrize(
    "url", ["/rec/gate.mp4", "/rec/20261330_170510.mp4", "/rec/120261130_170510.mp4", "/rec/20261130_1705101.mp4"]
)
def test_what_is_no_time_is_not_taken_for_one(url: str) -> None:
    assert NamePattern("%Y%m%d_%H%M%S").find(url, None) is None


@pytest.mark.parametrize("pattern", ["", "%H%M", "%Q%Y%m%d", "%Y%m", "%Y%m%d%", "((%Y"])
def test_a_pattern_that_can_tell_no_day_is_refused(pattern: str) -> None:
    with pytest.raises(SettingsError, match="--start-from-name"):
        NamePattern(pattern)


def specs(*names: str) -> list[SourceSpec]:
    return [SourceSpec(name, f"/rec/{name}.mp4") for name in names]


def test_what_the_user_tells_goes_before_the_name_and_the_name_before_the_file() -> None:
    sources = specs("a_20261130_170510", "b", "c")
    zone = time_zone(BERLIN)
    starts, unfit = resolve_start_times(sources, ["b=2026-11-30T17:05:10"], NamePattern("%Y%m%d_%H%M%S"), zone)
    assert {name: start.at for name, start in starts.items()} == {"a_20261130_170510": AT, "b": AT} and unfit == ["b", "c"]
    reports = [SourceReport(s.name, s.url, started_at=0.0, started_from="creation_time of the file") for s in sources]
    report_start_times(reports, starts, zone)
    assert [r.started_at for r in reports] == [AT, AT, 0.0]
    assert reports[1].choices["start"] == "2026-11-30T17:05:10+01:00 (--start)"
    assert reports[2].choices["start"] == "1970-01-01T01:00:00+01:00 (creation_time of the file)"


@pytest.mark.parametrize("told", ["tomorrow", "2026-11-30T25:00", "nan", "1e99", "none=2026-11-30", ""])
def test_a_start_that_is_none_is_refused(told: str) -> None:
    with pytest.raises(SettingsError, match="--start"):
        resolve_start_times(specs("a"), [told], None, None)


def test_one_start_for_several_sources_is_refused() -> None:
    with pytest.raises(SettingsError, match="there are 2 sources; say which one: --start a=2026-11-30"):
        resolve_start_times(specs("a", "b"), ["2026-11-30"], None, None)


def test_one_start_is_of_all_video_tracks_of_a_file() -> None:
    tracks = [SourceSpec(f"cam-track{k + 1}", "/rec/cam.mkv", (("track", str(k)),)) for k in range(2)]
    starts, _ = resolve_start_times(tracks, ["2026-11-30T16:05:10+00:00"], None, None)
    assert {name: start.at for name, start in starts.items()} == {"cam-track1": AT, "cam-track2": AT}


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(SettingsError, match="--time-zone Nowhere/Land: must be a name like"):
        time_zone("Nowhere/Land")
    assert StartTime(AT, "x").shown(time_zone("UTC")) == "2026-11-30T16:05:10+00:00 (x)"
    assert StartTime(AT, "x").shown(time_zone("+05:30")) == "2026-11-30T21:35:10+05:30 (x)"
