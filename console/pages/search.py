"""Page of the search: past tracks, ranked by their similarity to a face of a photo, a track or a person."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import numpy as np
from fastapi import APIRouter, Request, UploadFile
from fastapi.responses import HTMLResponse, Response

from console.auth import User
from console.context import console_of
from console.pages.layout import (
    Viewer,
    card,
    done,
    entered_id,
    entered_number,
    entered_time,
    part,
    show,
    source_and_track,
    visible_row,
    visible_sources,
    wants_part,
    zone_of,
)
from console.pages.people import MAX_PHOTO_BYTES
from console.photo_desk import desk_of
from console.problems import Problem, not_found
from watchlist.tracks import TrackFilter

router = APIRouter(include_in_schema=False)
RATES = (0.1, 0.01, 0.001, 0.0001)
TOPS = (20, 50, 100, 200)


@router.get("/search")
def search(
    request: Request,
    user: Viewer,
    photo: str = "",
    face: str = "",
    track: str = "",
    identity: str = "",
    source: str = "",
    since: str = "",
    until: str = "",
    least_px: str = "",
    fpir: float = 0.01,
    top: int = 50,
) -> HTMLResponse:
    """Show the form and, for a face, a track or a person, the hits.

    A search is a GET request, so that its address can be reloaded and changed. The photo was uploaded before (`drop`).
    """
    track = track or request.query_params.get("from", "")
    if fpir not in RATES or top not in TOPS:
        raise Problem(
            422,
            "Not allowed",
            f"fpir must be one of {', '.join(map(str, RATES))}, top must be one of {', '.join(map(str, TOPS))}",
        )
    console = console_of(request)
    store = console.reader()
    zone = zone_of(store)
    if source and source not in (names := visible_sources(console, user)):
        raise Problem(422, "Not allowed", f"camera {source[:80]}: must be one of {', '.join(names[:10])}")
    where = TrackFilter(
        source=source or None,
        since_at=entered_time(since, zone, "from"),
        until_at=entered_time(until, zone, "until"),
        least_px=entered_number(least_px, "least width"),
        sources=user.cameras,
    )
    probe = _probe(request, user, photo, face, track, identity)
    hits, compared = ([], 0) if probe.get("vectors") is None else _searched(request, user, probe, top, fpir, where)
    undated = store.count_undated(user.cameras) if compared is not None and (since or until) else 0
    fields = {"source": source, "since": since, "until": until, "least_px": least_px, "fpir": fpir, "top": top}
    return show(
        request, user, "search.html", "search", "Search by photo",
        probe=probe, hits=[_hit(hit) for hit in hits], compared=compared, undated=undated, fields=fields, rates=RATES, tops=TOPS,
        sources=visible_sources(console, user), cases=[case for case in store.cases(50) if case.closed is None],
        photos=[probe["photo"]] if probe.get("photo") else [], face=probe.get("face") or 0, searching=True,
    )  # fmt: skip


@router.post("/search")
def drop(request: Request, user: Viewer, photo: UploadFile) -> Response:
    """Store an uploaded photo and find its faces. If it shows one person, the search starts."""
    content = photo.file.read(MAX_PHOTO_BYTES + 1)
    if len(content) > MAX_PHOTO_BYTES:
        raise Problem(413, "Too large", f"{photo.filename}: more than {MAX_PHOTO_BYTES // 1_000_000} MB; make it smaller")
    found = desk_of(request).add(user.name, photo.filename or "", content)
    if not found.faces:
        from console.pages.layout import reason

        raise Problem(422, "No face to search for", f"{found.name}: {reason(found.fault)}; try another photo")
    query = {"photo": found.token} | ({"face": str(found.chosen)} if found.chosen else {})
    address = f"/search?{urlencode(query)}"
    if wants_part(request):
        return part(request, "empty.html", headers={"hx-redirect": address})
    return done(address)


@router.get("/search/desk/{token}")
def desk_picture(request: Request, user: Viewer, token: str, face: int = 0) -> Response:
    """The uploaded photo (``face`` 0) or one of its faces, as JPEG."""
    content = desk_of(request).picture(user.name, token, face)
    return Response(content, media_type="image/jpeg", headers={"cache-control": "private, max-age=1800"})


def _probe(request: Request, user: User, photo: str, face: str, track: str, identity: str) -> dict[str, Any]:
    """The query of a search.

    Returns:
        ``vectors``: embeddings float32 (M, D), None if a face has to be chosen first; ``query``: parameters of its address; and
        ``photo`` and ``face``, ``track``, or ``person``. {} if nothing is searched for.
    """
    console, store = console_of(request), console_of(request).reader()
    if photo:
        uploaded = desk_of(request).photo(user.name, photo)
        number = entered_id(face, "face") if face else 0
        vectors = desk_of(request).vector(user.name, photo, number)[None] if number else None
        return {"photo": uploaded, "face": number, "vectors": vectors, "query": {"photo": photo, "face": face}}
    if track:
        row = visible_row(console, user, *source_and_track(track))
        vector = store.template_of(row["source"], row["track"])
        if vector is None:
            raise Problem(422, "No template", "no shot of this track was good enough to compare; search by a photo")
        return {"track": card(row), "vectors": vector[None], "query": {"track": track}}
    if identity:
        person = store.identity(entered_id(identity, "identity"))
        if person is None:
            raise not_found("nobody on the list has this ID")
        photos = store.enrolments(person.id)
        if not photos:
            raise Problem(422, "No photo", "this person has no enrolled photo; search by a photo")
        return {"person": person, "vectors": np.stack([p.vector for p in photos]), "query": {"identity": identity}}
    return {}


def _searched(
    request: Request, user: User, probe: dict[str, Any], top: int, fpir: float, where: TrackFilter
) -> tuple[list[Any], int]:
    by = f"person {probe['person'].id}" if "person" in probe else "track" if "track" in probe else "photo"
    return desk_of(request).search(probe["vectors"], top, fpir, where, user.name, by)


def _hit(hit: Any) -> dict[str, Any]:
    row = hit.row | {"number": 0, "review": None, "judged": None, "at": hit.row["started_at"]}
    return card(row) | {"hit_score": hit.score, "hit_threshold": hit.threshold, "hit_outcome": hit.outcome}
