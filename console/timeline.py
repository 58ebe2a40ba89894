"""Timelines of the report: each source has a lane for each matched person, with tracks as bars."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Any

from watchlist.store import Store
from watchlist.tracks import TrackFilter

BARS = 100  # time steps of a timeline; tracks that begin in the same step share a bar
MAX_SINGLE_BARS = 300  # up to this number of tracks, each has its own bar
MAX_LANES = 20  # people with a lane of their own; the others share one
MAX_SOURCES = 100


def source_timelines(
    store: Store, run: dict[str, Any], summaries: list[dict[str, Any]], where: TrackFilter
) -> list[dict[str, Any]]:
    """Timelines of a run's sources, at most `MAX_SOURCES`.

    Args:
        store: the run's database.
        run: content of ``run.json``; {}: unknown.
        summaries: counts and times of the tracks by source and outcome, from `Store.summaries`.
        where: selects the tracks.

    Returns:
        The entries of ``sources`` in ``run.json``, plus sources that only have tracks. Each also has ``length`` (seconds) and
        ``lanes``: bars by lane name, with ``left`` and ``width`` in percent, ``kind`` (outcome), ``title`` and ``link``
        (SOURCE/TRACK).
    """
    mine = defaultdict(list)
    for row in summaries:
        mine[row["source"]].append(row)
    known = [source for source in map(_reported, run.get("sources") or []) if source is not None]
    names = {source["name"] for source in known}
    known += [_from_tracks(name, rows) for name, rows in mine.items() if name not in names]
    return [_lanes(store, source, mine[source["name"]], where) for source in known[:MAX_SOURCES]]


def _reported(source: Any) -> dict[str, Any] | None:
    """A source of ``run.json`` with checked fields; None if it is damaged."""
    if not isinstance(source, dict) or not isinstance(source.get("name"), str):
        return None
    return source | {
        "status": str(source.get("status", "ok")),
        "reason": str(source.get("reason", "")),
        "position_s": _seconds(source.get("position_s")) or 0.0,
        "duration_s": _seconds(source.get("duration_s")),
    }


def _seconds(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and 0 <= value < 1e10 else None


def _from_tracks(name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """A source that ``run.json`` does not list. It lists live cameras only when `live` ends."""
    end = max(row["end_s"] for row in rows)
    return {"name": name, "status": "ok", "reason": "", "position_s": end, "duration_s": None}


def _lanes(store: Store, source: dict[str, Any], summaries: list[dict[str, Any]], where: TrackFilter) -> dict[str, Any]:
    """Add the timeline to a source: a lane for each matched person and for each other outcome.

    The time axis of a recording is its duration. That of a live camera is Unix time, from the first track to the last.
    """
    lanes: dict[str, list[dict[str, Any]]] = {}
    if not summaries:
        return {**source, "length": 0.1, "lanes": lanes, "more": 0}
    live = all(row["timed"] == row["tracks"] for row in summaries)
    first = min(row["started_at"] for row in summaries) if live else 0.0
    last = max(row["ended_at" if live else "end_s"] for row in summaries)
    length = max(last - first, 0.0 if live else max(source["duration_s"] or 0.0, source["position_s"]), 0.1)
    people: set[str] = set()
    begin = "started_at" if live else "start_s"
    step = length / BARS if sum(row["tracks"] for row in summaries) > MAX_SINGLE_BARS else 1e-3
    placed: dict[tuple[str, int], dict[str, Any]] = {}
    for bar in sorted(
        store.timeline_bars(source["name"], begin, first, step, where),
        key=lambda bar: (bar["outcome"] != "match", bar["person"] or ""),
    ):
        lane = bar["outcome"].replace("_", " ")
        if bar["outcome"] == "match" and bar["person"] is not None:
            lane = bar["person"] if bar["person"] in people or len(people) < MAX_LANES else "others matched"
            people.add(lane)
        place = lane, int((bar["first"] - first) / step)
        if place in placed:
            known = placed[place]
            known |= {"tracks": known["tracks"] + bar["tracks"], "last": max(known["last"], bar["last"])}
        else:
            placed[place] = dict(bar)
    for (lane, _), bar in placed.items():
        many = "" if bar["tracks"] == 1 else f", {bar['tracks']} tracks"
        lanes.setdefault(lane, []).append(
            {
                "left": 100 * (bar["first"] - first) / length,
                "width": max(0.4, 100 * (bar["last"] - bar["first"]) / length),
                "kind": bar["outcome"],
                "title": time_span(bar["first"], bar["last"], live) + many,
                "link": f"{source['name']}/{bar['track']}",
            }
        )
    return {**source, "length": length, "lanes": lanes}


def time_span(begin: float, end: float, live: bool) -> str:
    """Format a time span: as local time if ``live`` (Unix times), else as the position in the recording (PTS seconds)."""
    if not live:
        return f"{duration_text(begin)} to {duration_text(end)}"
    try:
        first, last = (datetime.fromtimestamp(at).astimezone() for at in (begin, end))
    except (ValueError, OverflowError, OSError):
        return "at an impossible time"
    return f"{first:%Y-%m-%d %H:%M:%S} to {last:%H:%M:%S}"


def duration_text(seconds: float | None) -> str:
    """Format seconds as ``1:02:03.4`` or ``2:03.4``; None as ""."""
    if seconds is None:
        return ""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"
