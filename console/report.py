"""``report.html``: one self-contained file a person can check a run with."""

from __future__ import annotations

import base64
import io
import json
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, select_autoescape
from PIL import Image

from models.pictures import PictureError, read_picture
from watchlist.store import Store

MOST_PICTURES = 1500  # tracks without a match that are shown with pictures; the others are in sightings.jsonl
THUMB = 160


def write_report(store: Store, out: Path, started_after: float | None = None) -> Path:
    """Write the report of the run in ``out``, or of its tracks since a Unix time, and return its path."""
    path = out / "report.html"
    part = path.with_suffix(".part")
    part.write_text(render_report(store, out, started_after))
    part.replace(path)
    return path


def render_report(store: Store, out: Path, started_after: float | None = None) -> str:
    """The report as HTML, made from the database, the crops and ``run.json``."""
    run = json.loads((out / "run.json").read_text()) if (out / "run.json").is_file() else {}
    tracks = store.tracks(started_after=started_after)
    sources = run.get("sources") or [_unread(name, tracks) for name in dict.fromkeys(track["source"] for track in tracks)]
    matched = {track["identity"] for track in tracks if track["identity"] is not None}
    enrolled = {i: _inline(photos[0].chip) for i in matched if (photos := store.enrolments(i))}
    cards: dict[str, list[dict[str, Any]]] = {"match": [], "no_match": [], "not_assessable": []}
    for track in tracks:
        shown = track["outcome"] == "match" or len(cards[track["outcome"]]) < MOST_PICTURES
        cards[track["outcome"]].append(_card(track, out, enrolled) if shown else {})
    hidden = {outcome: sum(not card for card in found) for outcome, found in cards.items()}
    for outcome in cards:
        cards[outcome] = [card for card in cards[outcome] if card]
    cards["match"].sort(key=lambda c: (c["name"], c["source"], c["start_s"]))
    absent = store.not_looked_for()
    pages = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=select_autoescape(),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters["clock"] = clock
    return pages.get_template("report.html").render(
        run=run,
        made=time.strftime("%Y-%m-%d %H:%M"),
        cards=cards,
        hidden=hidden,
        people=list(dict.fromkeys(enrolment.name for enrolment in store.enrolments())),
        absent=absent,
        without_photo=[name for name in run.get("watchlist", {}).get("not_looked_for", []) if name not in absent],
        sources=[_lanes(source, tracks) for source in sources],
        seconds=sum(s["position_s"] for s in sources),
        fpir=run.get("settings", {}).get("fpir"),
    )


def _card(track: dict[str, Any], out: Path, enrolled: dict[int, str]) -> dict[str, Any]:
    video = Path("annotated") / f"{track['source']}.mp4"
    return {
        **{
            key: track[key]
            for key in (
                "source",
                "track",
                "start_s",
                "end_s",
                "name",
                "nearest",
                "score",
                "threshold",
                "fpir",
                "shots",
                "face_px",
                "reasons",
                "best_pts_s",
            )
        },
        "when": _when(track),
        "crop": _inline_file(out, track["crop"]),
        "restored": _inline_file(out, track["restored"]),
        "enrolled": enrolled.get(track["identity"]),
        "video": str(video) if (out / video).is_file() else None,
    }


def _unread(name: str, tracks: list[dict[str, Any]]) -> dict[str, Any]:
    """A source of which only tracks are known yet: live cameras are told of in ``run.json`` at the end."""
    end = max(track["end_s"] for track in tracks if track["source"] == name)
    return {"name": name, "status": "ok", "reason": "", "position_s": end, "duration_s": None}


def _when(track: dict[str, Any]) -> str:
    """The time of day here where it is known, of cameras; else the place in the recording."""
    if track["started_at"] is None:
        return f"{clock(track['start_s'])} to {clock(track['end_s'])}"
    begin, end = (datetime.fromtimestamp(track[key]).astimezone() for key in ("started_at", "ended_at"))
    return f"{begin:%Y-%m-%d %H:%M:%S} to {end:%H:%M:%S}"


def _lanes(source: dict[str, Any], tracks: list[dict[str, Any]]) -> dict[str, Any]:
    """A source with its timeline: a lane for each person found, one for the rest of each outcome. A camera's goes from the first
    track to the last, by time of day."""
    mine = [t for t in tracks if t["source"] == source["name"]]
    live = bool(mine) and all(t["started_at"] is not None for t in mine)
    first = min(t["started_at"] for t in mine) if live else 0.0
    begin, end = ("started_at", "ended_at") if live else ("start_s", "end_s")
    seconds = 0.0 if live else max(source["duration_s"] or 0.0, source["position_s"])
    length = max([seconds, *(t[end] - first for t in mine), 0.1])
    lanes: dict[str, list[dict[str, Any]]] = {
        t["name"]: [] for t in sorted(mine, key=lambda t: t["name"] or "") if t["outcome"] == "match"
    }
    for track in mine:
        lane = track["name"] if track["outcome"] == "match" else track["outcome"].replace("_", " ")
        lanes.setdefault(lane, []).append(
            {
                "left": 100 * (track[begin] - first) / length,
                "width": max(0.4, 100 * (track[end] - track[begin]) / length),
                "kind": track["outcome"],
                "title": _when(track),
                "link": f"{track['source']}/{track['track']}",
            }
        )
    return {**source, "length": length, "lanes": lanes}


def _inline_file(out: Path, name: str | None) -> str | None:
    if not name or not (out / name).is_file():
        return None
    return _inline((out / name).read_bytes())


def _inline(picture: bytes) -> str:
    """A picture as a data URL: JPEG, at most `THUMB` pixels; a small one is enlarged without smoothing, so that its
    pixels are seen."""
    try:
        image = Image.fromarray(read_picture(picture, ("JPEG", "PNG")))
    except PictureError:
        return ""
    factor = THUMB / max(image.size)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    image = image.resize(size, Image.Resampling.NEAREST if factor > 1 else Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def clock(seconds: float | None) -> str:
    """Seconds as 1:02:03.4."""
    if seconds is None:
        return ""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"
