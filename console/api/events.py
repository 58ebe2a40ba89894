"""API: server-sent events for new and changed sightings and alerts, within a second of being written.

All listeners share one connection, which polls ``PRAGMA data_version``; that reads one page of shared memory. Writers never wait
for it, because the database has a write-ahead log.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from console.api.common import Viewer, sighting
from console.auth import User
from console.context import Console, console_of
from console.problems import Problem
from watchlist.sqlite_connection import StoreError
from watchlist.store import Store

router = APIRouter(prefix="/api/v1/events", tags=["events"])
LOOK_S = 0.25  # seconds between two polls of the database
KEEP_ALIVE_S = 15.0  # seconds of silence before a comment is sent
MAX_LISTENERS = 200
MAX_OF_ONE = 40  # listeners of one user, who could otherwise take all of them
BATCH = 100  # changes sent at once
SESSION_CHECK_S = 10.0  # seconds between two checks of a listener's session


class Watcher:
    """Polls the database for changes of the feed and for alerts, on its own connection, while somebody listens.

    Attributes:
        number: of the last change.
        alert: number of the last alert.
        listeners: open event streams by user name.
    """

    def __init__(self, console: Console) -> None:
        self._console, self._store = console, Store(console.database, must_exist=True)
        self._store.set_reading(0.2)
        self.number = self._store.change_number()
        self.alert = self._store.last_alert_number()
        self._version, self._looked = self._store.data_version(), 0.0
        self.listeners: Counter[str] = Counter()
        self._lock = asyncio.Lock()

    async def look(self) -> None:
        """Update ``number`` and ``alert``, unless that was done less than `LOOK_S` ago."""
        async with self._lock:
            if time.monotonic() - self._looked >= LOOK_S:
                await run_in_threadpool(self._refresh)
                self._looked = time.monotonic()

    def _refresh(self) -> None:
        try:
            version = self._store.data_version()
            if version != self._version:
                self.number, self.alert = self._store.change_number(), self._store.last_alert_number()
                self._version = version
        except (sqlite3.Error, StoreError):  # busy: the next poll tries again
            pass


@router.get("", response_class=StreamingResponse)
async def events(
    request: Request, user: Viewer, last_event_id: Annotated[str | None, Header(pattern=r"^\d{1,15}(-\d{1,15})?$")] = None
) -> StreamingResponse:
    """Server-sent events: `track` (a new or changed sighting) and `alert` (an alert of a live camera).

    When a browser reconnects, it sends `Last-Event-ID` and gets the events that it has missed.
    """
    watcher: Watcher = request.app.state.watcher
    if watcher.listeners.total() >= MAX_LISTENERS or watcher.listeners[user.name] >= MAX_OF_ONE:
        most = f"at most {MAX_OF_ONE} open pages per user and {MAX_LISTENERS} in all are updated live; close some"
        raise Problem(503, "Too many listeners", most, {"retry-after": "30"})
    await watcher.look()
    feed, _, alert = (last_event_id or f"{watcher.number}-{watcher.alert}").partition("-")
    stream = _stream(request, user, watcher, int(feed), int(alert or watcher.alert))
    return StreamingResponse(stream, media_type="text/event-stream", headers={"x-accel-buffering": "no"})


async def _stream(request: Request, user: User, watcher: Watcher, feed: int, alert: int) -> AsyncIterator[str]:
    watcher.listeners[name := user.name] += 1
    spoke = checked = time.monotonic()
    try:
        yield "retry: 1000\n\n"
        while not getattr(request.app.state, "closing", False):
            await watcher.look()
            while watcher.number > feed or watcher.alert > alert:
                feed, alert, text = await run_in_threadpool(_changes, console_of(request), user, feed, alert)
                if not text:
                    break
                yield text
                spoke = time.monotonic()
            now = time.monotonic()
            if now - spoke > KEEP_ALIVE_S:
                yield ": still here\n\n"
                spoke = now
            if now - checked > SESSION_CHECK_S:  # the session may have ended
                found = await run_in_threadpool(_still_allowed, request, user)
                if found is None:
                    return
                user, checked = found, now  # the visible cameras may have changed
            await asyncio.sleep(LOOK_S)
    finally:
        watcher.listeners[name] -= 1


def _changes(console: Console, user: User, feed: int, alert: int) -> tuple[int, int, str]:
    """Events after the numbers ``feed`` and ``alert``. Returns the numbers reached, and the events as text."""
    store, lines = console.reader(), []
    reached, names = store.changes_after(feed, BATCH)
    for row in store.feed_named([name for name in names if user.sees(name[0])]):
        lines.append(_event("track", reached, alert, sighting(row).model_dump()))
    for number, found in store.alerts_after(alert):
        alert = number
        if user.sees(found.source):
            content = {
                "kind": found.kind,
                "at": found.at,
                "source": found.source,
                "track": found.track,
                "identity": found.identity,
            }
            lines.append(_event("alert", reached, alert, content | {"name": store.name_of(found.identity)}))
    if not lines and reached > feed:
        lines.append(f"id: {reached}-{alert}\n\n")
    return reached, alert, "".join(lines)


def _event(kind: str, feed: int, alert: int, content: dict[str, Any]) -> str:
    return f"event: {kind}\nid: {feed}-{alert}\ndata: {json.dumps(content)}\n\n"


def _still_allowed(request: Request, user: User) -> User | None:
    """The current state of the user; None if the session has ended or belongs to another user."""
    from console.auth.users import find_user

    try:
        found = find_user(request, in_use=False)  # an open page must not keep the session open
    except Problem:
        return None
    return found if found.id == user.id else None
