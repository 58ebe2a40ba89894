"""``search``: find a person in past tracks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.markup import escape
from rich.table import Column, Table

from cli.common import PREVIEWS, Recognizer, card_of, console, database_path, finite, open_gate, open_store
from cli.enrolment import AsJson, Face
from pipeline.errors import SettingsError

if TYPE_CHECKING:
    from watchlist.search_back import SearchableTracks, TrackHit
    from watchlist.store import Store


def command(
    photo: Annotated[Path | None, typer.Argument(help="photo of the person; instead of it: --track or --identity")] = None,
    *,
    db: Annotated[list[Path], typer.Option(help="output folder of a run, or its database; may be repeated to search several")],
    top: Annotated[int, typer.Option(min=1, help="number of tracks to show, best first")] = 20,
    fpir: Annotated[
        float,
        typer.Option(
            callback=finite, min=1e-6, max=0.5, help="false alarms allowed per search; lower: fewer of them, more misses"
        ),
    ] = 0.01,
    since: Annotated[
        str | None,
        typer.Option(help="earliest time: 2026-11-01, 2026-11-01T18:30, Unix seconds, or PTS seconds (numbers below 100000000)"),
    ] = None,
    until: Annotated[str | None, typer.Option(help="latest time, written as for --since")] = None,
    camera: Annotated[str | None, typer.Option(help="only tracks of this source")] = None,
    least_px: Annotated[
        float | None, typer.Option(callback=finite, min=0, help="only faces at least so many pixels wide")
    ] = None,
    track: Annotated[str | None, typer.Option(help="SOURCE/TRACK: search for the person of this track")] = None,
    identity: Annotated[int | None, typer.Option(help="ID: search for this person of the watchlist")] = None,
    face: Face = None,
    recognizer: Recognizer = None,
    as_json: AsJson = False,
) -> None:
    """Search all past tracks, matched or not, for a person."""
    from watchlist.database import StoreError
    from watchlist.search_back import TrackSearch
    from watchlist.time_arguments import parse_time_range, require_one_of
    from watchlist.tracks import TrackFilter

    if len({path.resolve() for path in db}) < len(db):
        raise SettingsError("--db: the same folder is given twice")

    if sum(given is not None for given in (photo, track, identity)) != 1:
        raise SettingsError("search for one of: a photo, --track, --identity")
    if face is not None and photo is None:
        raise SettingsError(f"--face {face}: is of a photo, and none is given")
    try:
        first, last = parse_time_range(since, until)
        stores = [open_store(database_path(path), must_exist=True) for path in db]
        if camera is not None:
            require_one_of("--camera", camera, sorted({name for store in stores for name in store.sources()}))
    except ValueError as error:
        raise SettingsError(str(error)) from None
    where = TrackFilter(camera, first.pts_s, first.at, last.at, least_px, last.pts_s)
    card = card_of(recognizer)
    thresholds = stores[0].thresholds(card)
    vectors = _vectors(stores[0], photo, face, track, identity, recognizer, card["sha256"])
    try:
        with _past_of(stores, card["sha256"]) as past:
            found, compared = TrackSearch(past, thresholds).search(vectors, top, fpir, where)
    except StoreError as error:
        raise SettingsError(str(error)) from None
    stores[0].log_audit(  # a use of the system, as Article 12(3) of the EU AI Act asks
        "search",
        by="photo" if photo is not None else "track" if track is not None else f"person {identity}",
        embedding_sha256=hashlib.sha256(vectors.tobytes()).hexdigest(),
        tracks_compared=compared,
        matches=sum(hit.outcome == "match" for hit in found),
        fpir=fpir,
        recognizer=card["sha256"],
        database=stores[0].path.name,
    )
    timed = where.since_at is not None or where.until_at is not None
    unknown = sum(store.count_undated() for store in stores) if timed else 0
    for store in stores:
        store.close()
    if as_json:
        print(json.dumps([_row(f) for f in found], indent=2))
        return
    table = Table("score", "needs", "outcome", "source", Column("when", no_wrap=True), "face px", "crop", box=None)
    for f in found:
        row = _row(f)
        when = row["at"][:19].replace("T", " ") if "at" in row else f"{row['start_s']} to {row['end_s']} s"
        cells = (
            row["score"],
            row["threshold"],
            row["outcome"],
            escape(f"{row['db']}: {row['source']}" if "db" in row else row["source"]),
            when,
            round(f.row["face_px"]),
            row["crop"],
        )
        table.add_row(*(str(cell) for cell in cells))
    console.print(table)
    console.print(f"{compared} tracks searched", markup=False)
    if unknown:
        console.print(f"{unknown} tracks of recordings were left out: their time of day is not known", markup=False)


@contextmanager
def _past_of(stores: list[Store], digest: str) -> Iterator[SearchableTracks]:
    """Context manager: the tracks of one database in this process, or of several databases in one actor each."""
    from watchlist.search_back import DatabaseTracks

    if len(stores) == 1:
        yield DatabaseTracks(stores[0], digest)
        return
    from cli.search_shards import Shards

    shards = Shards([store.path for store in stores], digest)
    try:
        yield shards
    finally:
        shards.close()


def _vectors(
    store: Store,
    photo: Path | None,
    face: int | None,
    track: str | None,
    identity: int | None,
    recognizer: Path | None,
    digest: str,
) -> NDArray[np.float32]:
    """Probe embeddings float32 (M, D) of the photo, track or person. Raises SettingsError if there are none."""
    if photo is not None:
        gate, _ = open_gate("auto", recognizer=recognizer, previews=store.path.parent / PREVIEWS)
        verdict = gate.judge("", photo, face)
        if verdict.vector is None:
            choose = " (--face N)" if verdict.reason.startswith("several_faces") else ""
            raise SettingsError(f"{photo}: {verdict.reason}{choose}")
        return verdict.vector[None]
    if track is not None:
        source, _, name = track.rpartition("/")
        vector = store.template_of(source, name)
        if vector is None:
            raise SettingsError(f"--track {track}: no such track, or it has no template; it is SOURCE/TRACK")
        return vector[None]
    photos = store.enrolments(identity)
    if not photos:
        raise SettingsError(f"--identity {identity}: nobody on the list has it, or without a photo")
    if {p.recognizer for p in photos} != {digest}:
        raise SettingsError(f"--identity {identity}: its vectors were made by another recogniser: name it with --recognizer")
    return np.stack([p.vector for p in photos])


def _row(found: TrackHit) -> dict[str, Any]:
    row = found.row
    line = {
        "source": row["source"],
        "track": row["track"],
        "start_s": round(row["start_s"], 3),
        "end_s": round(row["end_s"], 3),
        "score": round(found.score, 4),
        "threshold": round(found.threshold, 4),
        "fpir": found.fpir,
        "outcome": found.outcome,
        "crop": row["crop"],
    }
    if "db" in row:
        line["db"] = row["db"]
    if row["started_at"] is not None:
        line["at"] = datetime.fromtimestamp(row["started_at"]).astimezone().isoformat(timespec="seconds")
    return line
