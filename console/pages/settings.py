"""Page of the settings: false-alarm rate, calibration, retention with a preview, review, language and time zone."""

from __future__ import annotations

import threading
import time
from functools import cache
from typing import Annotated, Any
from zoneinfo import available_timezones

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse

from console.auth import User
from console.context import Console, console_of
from console.pages.layout import LANGUAGES, Admin, Viewer, done, entered_number, show, visible_sources
from console.problems import Problem
from console.threshold_changes import calibrate as fit
from console.threshold_changes import redecide, reset_calibration
from watchlist.database import StoreError
from watchlist.retention import RetentionPolicy, purge
from watchlist.row_checks import OUTCOMES

router = APIRouter(include_in_schema=False)
DAY_S = 86_400.0
RATES = (0.05, 0.01, 0.005, 0.001, 0.0005, 0.0001)
RETAINED = (*OUTCOMES, "pictures")
_purging = threading.Lock()


@cache
def zone_names() -> list[str]:
    """Names of all time zones; "" stands for the server's."""
    return ["", *sorted(available_timezones())]


@router.get("/settings")
def settings(request: Request, user: Viewer) -> HTMLResponse:
    """Show all settings, and their consequences for this output folder."""
    console = console_of(request)
    store = console.reader()
    traffic = store.traffic(time.time(), user.cameras)
    rate = store.preference("fpir", 0.01)
    days = store.preference("retention", {})
    return show(
        request, user, "settings.html", "settings", "Settings",
        rate=rate,
        rates=[(value, _meaning(value, traffic)) for value in sorted({*RATES, rate}, reverse=True)],
        traffic=traffic,
        persons=2 if (store.preference("review", {}) or {}).get("persons") == 2 else 1,
        days=days if isinstance(days, dict) else {},
        preview=_preview(console, user, days if isinstance(days, dict) else {}),
        retained=RETAINED,
        languages=LANGUAGES,
        zones=zone_names(),
        calibration=store.calibration_made(),
        sources=visible_sources(console, user),
        read_only=store.read_only,
    )  # fmt: skip


@router.post("/settings")
def save(
    request: Request,
    user: Admin,
    part: Annotated[str, Form()],
    fpir: Annotated[str, Form()] = "",
    persons: Annotated[str, Form()] = "1",
    language: Annotated[str, Form()] = "",
    time_zone: Annotated[str, Form()] = "",
    match: Annotated[str, Form()] = "",
    no_match: Annotated[str, Form()] = "",
    not_assessable: Annotated[str, Form()] = "",
    pictures: Annotated[str, Form()] = "",
    again: Annotated[str, Form()] = "",
) -> Response:
    """Save one part of the settings: ``rate``, ``review``, ``dates`` or ``retention``."""
    console = console_of(request)
    message = "Saved"
    if part == "rate":
        rate = entered_number(fpir, "false-alarm rate", 1e-6, 0.5)
        if rate is None:
            raise Problem(422, "No rate", "choose how many false alarms you allow")
        with console.writer(user.name) as store:
            store.set_preferences({"fpir": rate})
        if again == "on":
            changed = redecide(console, user.name, rate)
            message = f"Saved; {changed} earlier decision{'' if changed == 1 else 's'} changed"
    elif part == "review":
        with console.writer(user.name) as store:
            store.set_preferences({"review": {"persons": 2 if persons == "2" else 1}})
    elif part == "dates":
        if language not in LANGUAGES or (time_zone and time_zone not in zone_names()):
            raise Problem(422, "Not allowed", "choose language and time zone from the lists")
        with console.writer(user.name) as store:
            store.set_preferences({"language": language, "time_zone": time_zone})
    elif part == "retention":
        given = zip(RETAINED, (match, no_match, not_assessable, pictures), strict=True)
        days = {key: entered_number(text, f"days of {key.replace('_', ' ')}", 0, 100_000) for key, text in given}
        with console.writer(user.name) as store:
            store.set_preferences({"retention": days})
        message = "Saved. Data is deleted only when you purge, or by `live` according to its own settings"
    else:
        raise Problem(422, "Not allowed", f"part {part[:40]}: is unknown")
    return done(f"/settings#{part}" if part != "rate" else "/settings", message)


@router.post("/settings/purge")
def purge_now(request: Request, user: Admin) -> Response:
    """Delete results that are older than the retention allows, and verify that they are gone."""
    console = console_of(request)
    days = console.reader().preference("retention", {})
    if not isinstance(days, dict) or all(days.get(key) is None for key in RETAINED):
        raise Problem(422, "Nothing to purge", "first set how many days results are kept")
    if not _purging.acquire(blocking=False):
        raise Problem(409, "A purge is running", "wait until it has ended")
    try:
        with console.writer(user.name) as store:
            report = purge(store, console.out, _policy(days))
    except StoreError as error:
        raise Problem(409, "Not purged", str(error)) from None
    finally:
        _purging.release()
    message = f"{report.tracks} tracks and {report.pictures} pictures were deleted"
    message += f"; {len(report.looked_in)} files were checked for remains"
    if report.left:
        message += f"; remains are left in {', '.join(report.left)}"
    if not report.compacted:
        message += "; the database is in use, and deleted content may still be in its file: purge again later"
    return done("/settings", message)


@router.post("/settings/calibrate")
def calibrate(
    request: Request,
    user: Admin,
    action: Annotated[str, Form()],
    source: Annotated[str, Form()] = "",
    sure: Annotated[str, Form()] = "",
) -> Response:
    """Fit the thresholds to a source that shows nobody on the list, or go back to the recogniser's own."""
    if action == "reset":
        return done("/settings", reset_calibration(console_of(request), user.name))
    if source not in visible_sources(console_of(request), user) or sure != "on":
        raise Problem(422, "Not calibrated", "choose footage that shows nobody on the list, and tick the box that says so")
    return done("/settings", fit(console_of(request), user.name, source))


def _policy(days: dict[str, Any]) -> RetentionPolicy:
    return RetentionPolicy({outcome: days.get(outcome) for outcome in OUTCOMES}, days.get("pictures"))


def _preview(console: Console, user: User, days: dict[str, Any]) -> dict[str, int]:
    """Number of tracks that the next purge would change, by outcome and for ``pictures``, of sources that the user may see."""
    store, now = console.reader(), time.time()
    found = {}
    for key in RETAINED:
        if isinstance(days.get(key), (int, float)):
            ended = store.ended_before(now - days[key] * DAY_S, None if key == "pictures" else key)
            found[key] = sum(user.sees(source) for source, _ in ended)
    return found


def _meaning(rate: float, traffic: dict[str, Any]) -> str:
    """Describe a false-alarm rate in words, with the false alarms to expect at the traffic of the last seven days."""
    if not traffic["per_day"]:
        return f"1 false alarm in {1 / rate:,.0f} passers-by"
    each = rate * traffic["per_day"]
    often = f"{each:,.1f} a day" if each >= 0.95 else f"one in {1 / each:,.0f} days" if each > 0 else "none"
    return f"1 in {1 / rate:,.0f} passers-by: about {often} at today's traffic"
