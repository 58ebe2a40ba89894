"""Page of the unknowns: groups of tracks that may show the same person who is not on the list. Off by default."""

from __future__ import annotations

import threading
import time
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse

from console.auth import User
from console.context import Console, console_of
from console.pages.layout import Admin, Operator, Viewer, cards, done, show, source_and_track
from console.problems import Problem, not_found
from watchlist.database import StoreError
from watchlist.thresholds import Thresholds
from watchlist.unknowns import UnknownGroup, group_unknowns

router = APIRouter(include_in_schema=False)
SHOWN, MEMBERS = 40, 12  # groups on the page, tracks shown of a group
FRESH_S = 60.0  # older groups are computed again


class Groups:
    """Computes the groups, and caches them by visible cameras for `FRESH_S`. One request computes at a time.

    Args:
        console: the console.
    """

    def __init__(self, console: Console) -> None:
        self._console, self._lock = console, threading.Lock()
        self._found: dict[tuple[str, ...] | None, tuple[float, list[UnknownGroup]]] = {}

    def find(self, user: User) -> list[UnknownGroup]:
        """The groups of the tracks that the user may see. Raises Problem 409 if they cannot be computed."""
        from models import recognizer_card

        with self._lock:
            at, found = self._found.get(user.cameras, (0.0, []))
            if time.monotonic() - at > FRESH_S or not at:
                card = recognizer_card(None)
                store = self._console.reader()
                try:
                    thresholds: Thresholds = store.thresholds(card)
                    found = group_unknowns(store, thresholds, card["sha256"], user.cameras)
                except StoreError as error:
                    raise Problem(409, "Not grouped", str(error)) from None
                self._found[user.cameras] = time.monotonic(), found
            return found

    def forget(self) -> None:
        """Empty the cache."""
        with self._lock:
            self._found.clear()


def groups_of(request: Request) -> Groups:
    """The `Groups` of the running application."""
    found: Groups | None = getattr(request.app.state, "unknown_groups", None)
    if found is None:
        found = request.app.state.unknown_groups = Groups(console_of(request))
    return found


@router.get("/unknowns")
def unknowns(request: Request, user: Viewer, ignored: bool = False) -> HTMLResponse:
    """Show the groups, if grouping is switched on."""
    store = console_of(request).reader()
    enabled = store.preference("unknowns", False) is True
    groups = [group for group in groups_of(request).find(user) if group.ignored == ignored] if enabled else []
    listed = [
        {
            "cards": cards(store.feed_named(list(group.tracks[:MEMBERS]))),
            "count": len(group.tracks),
            "first": group.first,
            "last": group.last,
            "likeness": group.likeness,
            "best": "/".join(group.tracks[0]),
            "tracks": ["/".join(name) for name in group.tracks],
            "sources": sorted({source for source, _ in group.tracks}),
        }
        for group in groups[:SHOWN]
    ]
    return show(
        request, user, "unknowns.html", "unknowns", "Unknowns",
        enabled=enabled, groups=listed, more=max(0, len(groups) - SHOWN), ignored=ignored,
    )  # fmt: skip


@router.post("/unknowns/switch")
def switch(request: Request, user: Admin, on: Annotated[str, Form()] = "") -> Response:
    """Switch the grouping on or off."""
    with console_of(request).writer(user.name) as store:
        store.set_preferences({"unknowns": on == "on"})
    groups_of(request).forget()
    return done("/unknowns", "Grouping is on" if on == "on" else "Grouping is off; the groups were discarded")


@router.post("/unknowns/ignore")
def ignore(
    request: Request, user: Operator, track: Annotated[list[str], Form()], action: Annotated[str, Form()] = "ignore"
) -> Response:
    """Put the tracks of a group on the ignore list, or take them off it."""
    names = [source_and_track(text) for text in track]
    if any(not user.sees(source) for source, _ in names):
        raise not_found("no such track")
    with console_of(request).writer(user.name) as store:
        change: Any = store.heed_tracks if action == "heed" else store.ignore_tracks
        change(names)
    groups_of(request).forget()
    if action == "heed":
        return done("/unknowns?ignored=true", "Suggested again")
    return done("/unknowns", "Ignored: these tracks are not suggested again")
