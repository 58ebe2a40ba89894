"""Page of the review: confirm or reject matches one after another, by keyboard."""

from __future__ import annotations

import json
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse

from console.auth import User
from console.context import console_of
from console.pages.layout import Reviewer, Viewer, card, cards, done, part, show, source_and_track, visible_row, wants_part
from console.problems import Problem
from watchlist.database import StoreError
from watchlist.feed import FeedFilter
from watchlist.review_files import review_track
from watchlist.store import Store

router = APIRouter(include_in_schema=False)
QUEUES = {
    "open": "To review",
    "second": "Awaits a second person",
    "not_assessable": "Not assessable, worth a look",
    "confirmed": "Confirmed",
    "rejected": "Rejected",
}
LENGTH = 40  # tracks of a queue that the page lists
DONE = {"confirmed": "Confirmed", "rejected": "Rejected: counts as no match in every export", "open": "Left open"}


@router.get("/review")
def review(request: Request, user: Viewer, queue: str = "open", track: str = "", after: str = "") -> HTMLResponse:
    """Show a queue and one track of it (empty ``track``: the first), or with htmx only the track."""
    if queue not in QUEUES:
        raise Problem(422, "Not allowed", f"queue {queue[:40]}: must be one of {', '.join(QUEUES)}")
    console = console_of(request)
    store = console.reader()
    rows = _queue(store, user, queue)
    current = visible_row(console, user, *source_and_track(track)) if track else rows[0] if rows else None
    context = _panel(store, current) | {"queue": queue}
    if wants_part(request):
        return part(request, "review_panel.html", **context)
    counts = store.review_counts() if user.cameras is None else {}
    return show(request, user, "review.html", "review", "Review", queues=QUEUES, counts=counts, rows=cards(rows), **context)


@router.post("/review")
def judge(
    request: Request,
    user: Reviewer,
    source: Annotated[str, Form()],
    track: Annotated[str, Form()],
    verdict: Annotated[str, Form()],
    note: Annotated[str, Form()] = "",
    queue: Annotated[str, Form()] = "",
    following: Annotated[str, Form()] = "",
    back: Annotated[str, Form()] = "",
) -> Response:
    """Store a verdict. With htmx the answer is the next track of the queue."""
    console = console_of(request)
    visible_row(console, user, source, track)
    with console.writer(user.name) as store:
        try:
            state = review_track(store, source, track, verdict, note.strip(), persons_needed(store))
        except StoreError as error:
            raise Problem(422, "Not saved", str(error)) from None
    what = "Confirmed; a second person has to confirm it, too" if state == "second" else DONE[verdict]
    if not wants_part(request):
        return done(back if back.startswith("/track?") else f"/review?{urlencode({'queue': queue or 'open'})}", what)
    reader = console.reader()
    rows = _queue(reader, user, queue if queue in QUEUES else "open")
    names = [(row["source"], row["track"]) for row in rows]
    current = next((row for row, name in zip(rows, names, strict=True) if name == source_and_track(following)), None)
    if current is None:
        current = next((row for row, name in zip(rows, names, strict=True) if name != (source, track)), rows[0] if rows else None)
    context = _panel(reader, current) | {"queue": queue, "rows": cards(rows), "with_queue": True, "queues": QUEUES}
    context |= {"counts": reader.review_counts() if user.cameras is None else {}}
    answer = part(request, "review_panel.html", toast=what, **context)
    answer.headers["hx-push-url"] = (
        f"/review?{urlencode({'queue': queue} | ({'track': context['row']['key']} if current else {}))}"
    )
    answer.headers["hx-trigger"] = json.dumps({"farsight:judged": {"track": quote(f"{source}/{track}")}})
    return answer


def persons_needed(store: Store) -> int:
    """Number of people who have to confirm a match, 1 or 2: the preference ``review: {persons: 2}``."""
    setting = store.preference("review", {})
    return 2 if isinstance(setting, dict) and setting.get("persons") == 2 else 1


def _queue(store: Store, user: User, queue: str) -> list[dict[str, Any]]:
    if queue == "not_assessable":
        return [row for row in store.worth_a_look(LENGTH) if user.sees(row["source"])]
    return store.feed(FeedFilter(review=queue, sources=user.cameras), LENGTH)


def _panel(store: Store, row: dict[str, Any] | None) -> dict[str, Any]:
    """Context of the template for a track: its card, reviews, the matched or rejected person, and their photos."""
    if row is None:
        return {"row": None, "reviews": [], "judged": None, "photos": []}
    identity = row["identity"] if row["identity"] is not None else row["judged"]
    person = None if identity is None else store.identity(identity)
    photos = [] if person is None else [f"/people/{identity}/photos/{photo}" for photo in store.photo_ids(identity)[:6]]
    return {"row": card(row), "reviews": store.reviews(row["source"], row["track"]), "judged": person, "photos": photos}
