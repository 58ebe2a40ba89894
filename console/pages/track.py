"""Page of a track: pictures, decision, nearest people, reviews, and the video at its time."""

from __future__ import annotations

import math
import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import numpy as np
from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, HTMLResponse

from console.context import Console, console_of
from console.pages.layout import Viewer, card, part, shot_href, show, visible_row
from console.problems import not_found
from watchlist.database import StoreError
from watchlist.gallery import Gallery
from watchlist.output_folder import shot_pictures
from watchlist.static_tracks import is_comparable
from watchlist.store import Store

router = APIRouter(include_in_schema=False)
PLAYABLE = {".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/mp4", ".webm": "video/webm"}
MAX_SHOTS_SHOWN = 40
MAX_BOXES = 4000  # boxes sent to the page; a longer path is thinned out


@router.get("/track")
def track_page(request: Request, user: Viewer, source: str, track: str) -> HTMLResponse:
    """Show one track."""
    console = console_of(request)
    row = visible_row(console, user, source, track)
    store, folder = console.reader(), console.folder
    shots = [
        shot_href(source, track, number)
        for number, name in enumerate(_shot_names(row), 1)
        if folder.picture_path(name) is not None
    ][:MAX_SHOTS_SHOWN]
    person = store.identity(row["identity"]) if row["identity"] is not None else None
    judged = store.identity(row["judged"]) if row["judged"] is not None else None
    return show(
        request,
        user,
        "track.html",
        "sightings",
        f"Track {track}",
        row=card(row),
        shots=shots,
        person=person,
        judged=judged,
        reviews=store.reviews(source, track),
        video=_video(console, store, source, row),
        members=store.cases_of_track(source, track),
        cases=[case for case in store.cases(50) if case.closed is None],
        assessable=is_comparable(row),
    )


@router.get("/track/nearest")
def nearest(request: Request, user: Viewer, source: str, track: str) -> HTMLResponse:
    """Show the five nearest people on the list, with their cosines."""
    console = console_of(request)
    row = visible_row(console, user, source, track)
    vector = console.reader().template_of(source, track)
    people: list[dict[str, Any]] = []
    fault = "" if vector is not None else "This track has no template: no shot was good enough to compare."
    if vector is not None:
        try:
            people = [vars(found) for found in galleries_of(request).nearest(row["recognizer"], vector)]
        except StoreError as error:
            fault = str(error)
    return part(request, "nearest.html", people=people, row=row, fault=fault)


@router.get("/track/path")
def path(request: Request, user: Viewer, source: str, track: str) -> dict[str, Any]:
    """The face's path, for the box over the video: ``boxes``, rows of PTS seconds, x1, y1, x2 and y2 in pixels."""
    console = console_of(request)
    visible_row(console, user, source, track)
    content = console.reader().track_path(source, track)
    boxes = np.frombuffer(content or b"", np.float32).reshape(-1, 5)
    boxes = boxes[np.isfinite(boxes).all(1)][:: max(1, math.ceil(len(boxes) / MAX_BOXES))]
    return {"boxes": np.round(boxes.astype(float), 2).tolist()}


@router.get("/shot")
def shot(request: Request, user: Viewer, source: str, track: str, number: int = 1) -> Response:
    """The original crop of a shot (``number`` from 1, best first), or the super-resolved chip (0)."""
    console = console_of(request)
    row = visible_row(console, user, source, track)
    names = _shot_names(row)
    name = row["restored"] if number == 0 else names[number - 1] if 1 <= number <= len(names) else None
    found = console.folder.picture_path(name)
    if found is None:
        raise not_found("no such picture")
    return FileResponse(found, headers={"cache-control": "private, max-age=300"})


@router.get("/recording")
def recording(request: Request, user: Viewer, source: str) -> FileResponse:
    """The recording of a source, if it is a file of a type that browsers play."""
    console = console_of(request)
    found = _recording_file(console.reader(), source) if user.sees(source) else None
    if found is None:
        raise not_found("no such video; it may have been moved")
    return FileResponse(found, media_type=PLAYABLE[found.suffix.lower()], headers={"cache-control": "private, no-cache"})


class Galleries:
    """Index over the enrolled photos, which follows changes of the database. One request searches at a time.

    Args:
        console: the console.
    """

    def __init__(self, console: Console) -> None:
        self._console, self._lock = console, threading.Lock()
        self._store: Store | None = None
        self._galleries: dict[str, Gallery] = {}

    def nearest(self, digest: str | None, vector: np.ndarray[Any, np.dtype[np.float32]], count: int = 5) -> list[Any]:
        """Find the nearest people.

        Args:
            digest: of the recogniser that made the template; None: unknown.
            vector: template float32 (D,).
            count: largest number of people.

        Returns:
            Candidates, best first.

        Raises:
            StoreError: the list was enrolled with another recogniser, or the recogniser is unknown.
        """
        if digest is None:
            raise StoreError("it is not known which recogniser made this track's template")
        with self._lock:
            if self._store is None:
                self._store = Store(self._console.database, must_exist=True)
            if digest not in self._galleries:
                self._galleries = {digest: Gallery(self._store, digest)}
            gallery = self._galleries[digest]
            gallery.update()
            return gallery.nearest_people(vector, count)


def galleries_of(request: Request) -> Galleries:
    """The `Galleries` of the running application."""
    found: Galleries | None = getattr(request.app.state, "galleries", None)
    if found is None:
        found = request.app.state.galleries = Galleries(console_of(request))
    return found


def _shot_names(row: dict[str, Any]) -> list[str | None]:
    """File names of the original crops of all shots, best first."""
    return [row["crop"], *shot_pictures(row["source"], row["track"], row["shots"])]


def _video(console: Console, store: Store, source: str, row: dict[str, Any]) -> dict[str, Any] | None:
    """The video to play: the annotated one, which every browser plays, else the recording; None if there is neither."""
    at = row["start_s"] if row["best_pts_s"] is None else row["best_pts_s"]
    annotated = console.folder.safe_path(f"annotated/{source}.mp4")
    try:
        if annotated is not None and annotated.is_file():
            return {"href": f"/annotated/{quote(source)}.mp4", "at": max(0.0, at), "kind": "annotated"}
    except OSError:
        pass
    if _recording_file(store, source) is not None:
        return {"href": "/recording?" + urlencode({"source": source}), "at": max(0.0, at), "kind": "recording"}
    return None


def _recording_file(store: Store, source: str) -> Path | None:
    address = next((known.address for known in store.recordings() if known.name == source), None)
    if address is None or "://" in address:
        return None
    path = Path(address)
    try:
        return path if path.suffix.lower() in PLAYABLE and path.is_file() else None
    except OSError:
        return None
