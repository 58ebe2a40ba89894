"""API: the feed of sightings, one track in detail, and its reviews."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import numpy as np
from fastapi import APIRouter, Depends, Query, Request
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from console.api.common import (
    Limit,
    Reviewer,
    Sighting,
    SightingPage,
    Viewer,
    feed_filter,
    require_track,
    sighting,
    split_after,
)
from console.auth import User
from console.context import console_of
from console.pages.layout import shot_href
from console.pages.review import persons_needed
from console.pages.track import galleries_of
from console.problems import Problem, not_found
from console.report import has_video
from watchlist.feed import FeedFilter
from watchlist.output_folder import shot_pictures
from watchlist.review_files import review_track
from watchlist.reviews import StaleReview
from watchlist.sqlite_connection import StoreError
from watchlist.tracks import box_number

router = APIRouter(prefix="/api/v1/tracks", tags=["tracks"])
Filter = Annotated[FeedFilter, Depends(feed_filter)]
NEAREST = 5  # nearest people of a track


class Near(BaseModel):
    identity: int
    name: str
    score: float
    photo: str = Field(description="address of the enrolled photo")


class Review(BaseModel):
    id: int
    identity: int | None
    user: str
    verdict: str
    note: str
    at: float


class TrackDetail(Sighting):
    """A track with everything that a reviewer needs."""

    nearest_people: list[Near]
    shot_pictures: list[str] = Field(description="addresses of the original crops of all shots, best first")
    video: str | None = Field(description="address of the annotated video, at the time of the best shot")
    box: str = Field(description="number next to the box in the video")
    reviews: list[Review]
    persons: int = Field(description="number of people who have to confirm a match")
    database: str = Field(description="version of the list; it changes with every enrolment")


class Verdict(BaseModel):
    verdict: str = Field(pattern="^(confirmed|rejected|open)$")
    note: str = Field("", max_length=4000)
    last_review: int | None = Field(
        None, ge=0, description="id of the newest review that you have seen (0: none); the answer is 409 if there is a newer one"
    )


class Reviewed(BaseModel):
    state: str


@router.get("")
def feed(
    request: Request, where: Filter, limit: Limit = 50, after: Annotated[str | None, Query(description="SOURCE/TRACK")] = None
) -> SightingPage:
    """Sightings, newest first. For the next page, pass SOURCE/TRACK of the last one as `after`."""
    store, place = console_of(request).reader(), None
    if after is not None:
        source, track = split_after(after)
        seen = where.sources is None or source in where.sources
        last = store.feed_row(source, track) if seen else None
        if last is None:
            raise not_found(f"after {after}: no such track; give SOURCE/TRACK of the last track of the page before")
        place = (last["at"], last["number"])
    rows = store.feed(where, limit, place)
    following = f"{rows[-1]['source']}/{rows[-1]['track']}" if len(rows) == limit else None
    return SightingPage(items=[sighting(row) for row in rows], next=following)


@router.get("/queues")
def queues(request: Request, user: Viewer) -> dict[str, int]:
    """Number of tracks in each state of review; ``open`` ones wait to be reviewed. Counts stop at 1000 if you may see only some
    cameras."""
    store = console_of(request).reader()
    if user.cameras is None:
        return {"open": 0, "second": 0, "confirmed": 0, "rejected": 0} | store.review_counts()
    states = ("open", "second", "confirmed", "rejected")
    return {state: store.feed_count(FeedFilter(review=state, sources=user.cameras)) for state in states}


@router.get("/{source}/{track}")
def detail(request: Request, user: Viewer, source: str, track: str) -> TrackDetail:
    """One track, with its nearest people on the list and its reviews."""
    row = require_track(request, user, source, track)
    console = console_of(request)
    store = console.reader()
    vector = None if row["outcome"] == "not_assessable" else store.template_of(source, track)
    at = row["start_s"] if row["best_pts_s"] is None else row["best_pts_s"]
    shots = [
        shot_href(source, track, number)
        for number, name in enumerate([row["crop"], *shot_pictures(source, track, row["shots"])], 1)
        if console.folder.picture_path(name) is not None
    ]
    return TrackDetail(
        **sighting(row).model_dump(),
        nearest_people=[] if vector is None else _nearest(request, row["recognizer"], vector),
        shot_pictures=shots,
        video=f"/annotated/{quote(source)}.mp4#t={max(0.0, at):.1f}" if has_video(console.out, source) else None,
        box=box_number(track),
        reviews=[Review(**{key: getattr(review, key) for key in Review.model_fields}) for review in store.reviews(source, track)],
        persons=persons_needed(store),
        database=str(store.counter("watchlist")),
    )


def _nearest(request: Request, digest: str | None, vector: NDArray[np.float32]) -> list[Near]:
    try:
        found = galleries_of(request).nearest(digest, vector, NEAREST)
    except StoreError:  # the list was enrolled with another recogniser
        return []
    return [Near(identity=n.identity, name=n.name, score=n.score, photo=f"/enrolled/{n.identity}") for n in found]


@router.post("/{source}/{track}/review")
def review(request: Request, user: Reviewer, source: str, track: str, given: Verdict) -> Reviewed:
    """Confirm or reject a decision, or leave it open, with a note. A rejected match counts as no match everywhere."""
    return Reviewed(state=put_review(request, user, source, track, given))


def put_review(request: Request, user: User, source: str, track: str, given: Verdict) -> str:
    """Store a review of a track.

    Returns:
        The track's state of review: ``open``, ``second``, ``confirmed`` or ``rejected``.

    Raises:
        Problem: 404 if the user may not see the track, 409 if there is a review newer than ``given.last_review``, 422 if the
            track cannot be reviewed.
    """
    require_track(request, user, source, track)
    console = console_of(request)
    try:
        with console.writer(user.name) as store:
            state = review_track(store, source, track, given.verdict, given.note, persons_needed(store), given.last_review)
    except StaleReview as error:
        raise Problem(409, "Changed meanwhile", str(error)) from None
    except StoreError as error:
        raise Problem(422, "Not allowed", str(error)) from None
    return state or "open"
