"""Render the report of a run: ``report.html``, one self-contained file, or the same page for the console."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, TemplateError, select_autoescape

from console.pictures import InlinePictures, LinkedPictures, Pictures
from console.timeline import duration_text, source_timelines, time_span
from watchlist.jsonl import replace_text
from watchlist.row_checks import OUTCOMES
from watchlist.sqlite_connection import StoreError
from watchlist.static_tracks import STATIC
from watchlist.store import Store
from watchlist.tracks import TrackFilter, box_number
from watchlist.traffic import expected_false_alarms

# Largest number of cards in each section
MAX_CARDS = {"match": 400, "near": 150, "no_match": 250, "unlikely": 100, "not_assessable": 200, "static": 60}
MAX_CARDS_SERVED = {"match": 120, "near": 60, "no_match": 60, "unlikely": 30, "not_assessable": 60, "static": 30}
PICTURE_BYTES = 14_000_000  # of embedded pictures; keeps report.html below 20 MB
NEAR_MISS_MARGIN = 0.08  # a cosine at most this far below its threshold is a near miss
MIN_FACE_QUALITY = 0.2  # a template of lower quality is probably not of a face, but of hair, a hand or a pattern
CARD_FIELDS = (
    *("source", "track", "start_s", "end_s", "outcome", "name", "nearest", "score", "threshold", "fpir", "shots", "face_px"),
    *("reasons", "best_pts_s", "quality"),
)
TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=select_autoescape(),
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters["clock"] = duration_text


def write_report(store: Store, out: Path, started_after: float | None = None) -> Path:
    """Write ``report.html``.

    Args:
        store: the run's database.
        out: output folder of the run.
        started_after: Unix time; see `render_report`.

    Returns:
        Path of the report.

    Raises:
        StoreError: a row of the database is damaged.
    """
    path = out / "report.html"
    replace_text(path, render_report(store, out, started_after))
    return path


def render_report(store: Store, out: Path, started_after: float | None = None, served: bool = False) -> str:
    """Render the report from the database, the crops and ``run.json``. If ``run.json`` is damaged, it is rendered without it.

    Args:
        store: the run's database.
        out: output folder of the run.
        started_after: Unix time. Only tracks that began at or after it; tracks without a time of day are left out.
        served: for the console: link to pictures and further pages instead of embedding the pictures.

    Returns:
        HTML.

    Raises:
        StoreError: a row of the database is damaged.
    """
    run, fault = read_run(out)
    try:
        return _rendered(store, out, TrackFilter(started_after=started_after), run, fault, served)
    except StoreError:
        raise
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, TemplateError) as error:
        if not run:
            raise
        return _rendered(store, out, TrackFilter(started_after=started_after), {}, _damage(error), served)


def _rendered(store: Store, out: Path, where: TrackFilter, run: dict[str, Any], fault: str, served: bool) -> str:
    with store.snapshot():
        summaries = store.summaries(where)
        inlined = InlinePictures(store, out, PICTURE_BYTES)
        sections = _sections(store, where, MAX_CARDS_SERVED if served else MAX_CARDS)
        cards = {name: _cards(rows, out, LinkedPictures() if served else inlined) for name, rows in sections.items()}
        people, names = store.active_people(30)
        counts = {outcome: sum(row["tracks"] for row in summaries if row["outcome"] == outcome) for outcome in OUTCOMES}
        sources = source_timelines(store, run, summaries, where)
        absent = store.inactive_names()
    shown = {"match": len(cards["match"]), "not_assessable": len(cards["not_assessable"]) + len(cards["static"])}
    shown["no_match"] = sum(len(cards[name]) for name in ("near", "no_match", "unlikely"))
    known = set(absent)
    return TEMPLATES.get_template("report.html").render(
        run=run,
        fault=fault,
        made=time.strftime("%Y-%m-%d %H:%M"),
        cards=cards,
        counts=counts,
        hidden={outcome: counts[outcome] - shown[outcome] for outcome in counts},
        people=people,
        names=names,
        absent=absent[:30],
        absent_more=max(0, len(absent) - 30),
        without_photo=[name for name in run.get("watchlist", {}).get("not_looked_for", []) if name not in known],
        sources=sources,
        more_sources=len({row["source"] for row in summaries} - {source["name"] for source in sources}),
        links={f"{card['source']}/{card['track']}" for found in cards.values() for card in found},
        seconds=sum(source["position_s"] for source in sources),
        fpir=_rate(run),
        false_alarms=sum(expected_false_alarms(summaries, _rate(run) or 0.0).values()),
        made_by=_made_by(run),
        served=served,
        omitted=inlined.omitted,
    )


def render_page(rows: list[dict[str, Any]], out: Path, title: str, following: str | None) -> str:
    """Render one page of tracks for the console, as HTML.

    Args:
        rows: tracks, as `Store.page` returns them.
        out: output folder of the run.
        title: heading of the page.
        following: address of the next page; None: there is none.
    """
    return TEMPLATES.get_template("page.html").render(
        cards=_cards(rows, out, LinkedPictures()), title=title, following=following, served=True
    )


def read_run(out: Path) -> tuple[dict[str, Any], str]:
    """Read ``run.json``.

    Returns:
        Its content ({} if it is missing or damaged), and what is wrong with it ("" if nothing is).
    """
    path = out / "run.json"
    if not path.is_file():
        return {}, ""
    try:
        run = json.loads(path.read_text())
        return dict(run.items()), ""
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        return {}, _damage(error)


def _damage(error: Exception) -> str:
    return f"run.json is damaged ({type(error).__name__}): its content is missing here"


def _rate(run: dict[str, Any]) -> float | None:
    rate = (run.get("settings") or {}).get("fpir")
    return rate if isinstance(rate, float) and 0 < rate < 1 else None


def _made_by(run: dict[str, Any]) -> str:
    """Version of the program that made the run, and its commit if known."""
    versions = run.get("versions") or {}
    commit = versions.get("commit") or run.get("commit")
    return f"Farsight {versions.get('farsight', '')}{f' ({str(commit)[:12]})' if commit else ''}".strip()


def _sections(store: Store, where: TrackFilter, most: dict[str, int]) -> dict[str, list[dict[str, Any]]]:
    """Tracks by section of the report, at most ``most`` in each. No track is in two sections."""

    def of(outcome: str, count: int, static: bool | None = None) -> list[dict[str, Any]]:
        return store.page(TrackFilter(outcome=outcome, started_after=where.started_after, static=static), count)

    match = sorted(
        store.by_margin("match", most["match"], None, where), key=lambda r: (r["name"] or "", r["source"], r["start_s"])
    )
    if len(match) < most["match"]:  # `by_margin` leaves out matches without a score
        known = {(row["source"], row["track"]) for row in match}
        match += [row for row in of("match", most["match"]) if (row["source"], row["track"]) not in known][
            : most["match"] - len(match)
        ]
    near = [
        row for row in store.by_margin("no_match", most["near"], NEAR_MISS_MARGIN, where) if row["quality"] >= MIN_FACE_QUALITY
    ]
    known = {(row["source"], row["track"]) for row in near}
    rest = [row for row in of("no_match", most["no_match"] + len(near)) if (row["source"], row["track"]) not in known]
    unjudged = of("not_assessable", 2 * (most["not_assessable"] + most["static"]))  # a query for static tracks has no index
    return {
        "match": match,
        "near": near,
        "no_match": [row for row in rest if row["quality"] >= MIN_FACE_QUALITY][: most["no_match"]],
        "unlikely": [row for row in rest if row["quality"] < MIN_FACE_QUALITY][: most["unlikely"]],
        "not_assessable": of("not_assessable", most["not_assessable"], False),
        "static": [row for row in unjudged if STATIC in row["reasons"]][: most["static"]],
    }


def _cards(rows: list[dict[str, Any]], out: Path, pictures: Pictures) -> list[dict[str, Any]]:
    videos: dict[str, bool] = {}
    cards = []
    for row in rows:
        source = row["source"]
        if source not in videos:
            videos[source] = has_video(out, source)
        at = row["start_s"] if row["best_pts_s"] is None else row["best_pts_s"]
        live = row["started_at"] is not None and row["ended_at"] is not None
        cards.append(
            {
                **{key: row[key] for key in CARD_FIELDS},
                "box": box_number(row["track"]),
                "when": time_span(row["started_at"], row["ended_at"], live)
                if live
                else time_span(row["start_s"], row["end_s"], live),
                "crop": pictures.track_picture(row, "crop"),
                "restored": pictures.track_picture(row, "restored"),
                "enrolled": pictures.person_photo(row["identity"])
                if row["outcome"] == "match" and row["identity"] is not None
                else None,
                "video": f"annotated/{quote(source)}.mp4#t={max(0.0, at):.1f}" if videos[source] else None,
            }
        )
    return cards


def has_video(out: Path, source: str) -> bool:
    """Whether the output folder holds an annotated video of a source."""
    try:
        return (out / "annotated" / f"{source}.mp4").is_file()
    except (OSError, ValueError):
        return False
