"""Threshold changes from the settings page: new decisions at another FPIR, and calibration to own footage."""

from __future__ import annotations

from console.context import Console
from console.problems import Problem
from models import recognizer_card
from watchlist.database import StoreError
from watchlist.decision import redecide_tracks
from watchlist.footage_calibration import fit_to_tracks, usable_tracks


def redecide(console: Console, user: str, fpir: float) -> int:
    """Decide all finished tracks again, with the current list and another FPIR.

    Args:
        console: the console.
        user: name for the audit log.
        fpir: false alarms allowed per passer-by.

    Returns:
        Number of tracks whose outcome or name changed.

    Raises:
        Problem: 409 if the tracks cannot be decided again, such as with a list of another recogniser.
    """
    card = recognizer_card(None)
    with console.writer(user) as store:
        try:
            changed = redecide_tracks(store, card["sha256"], store.thresholds(card), fpir)
        except StoreError as error:
            raise Problem(409, "Not decided again", str(error)) from None
        store.log_audit("redecide", fpir=fpir, changed=changed)
    return changed


def reset_calibration(console: Console, user: str) -> str:
    """Discard the calibration and use the recogniser's own thresholds. Returns a line for the user."""
    with console.writer(user) as store:
        store.put_calibration(recognizer_card(None)["sha256"], None)
        store.log_audit("calibrate", reset=True)
    return "The recogniser's own thresholds are used again"


def calibrate(console: Console, user: str, source: str) -> str:
    """Fit the thresholds to the tracks of a source that shows nobody on the list.

    Args:
        console: the console.
        user: name for the audit log.
        source: name of the recording or camera.

    Returns:
        A line for the user.

    Raises:
        Problem: 422 if the footage cannot be used or gives no better thresholds.
    """
    card = recognizer_card(None)
    with console.writer(user) as store:
        try:
            found = fit_to_tracks(store, card, usable_tracks(list(store.tracks(source)), card["sha256"]), store.path)
        except StoreError as error:
            raise Problem(422, "Not calibrated", str(error)) from None
        if found.unchanged:
            text = f"{found.tracks} tracks of {found.people} people give no better thresholds; nothing was changed"
            raise Problem(422, "Not calibrated", text)
        store.put_calibration(card["sha256"], found.bins, found.tracks)
        store.log_audit("calibrate", tracks=found.tracks, strangers=[fit.strangers for fit in found.fits])
    return f"The thresholds are now fitted to {found.people} passers-by of {source}"
