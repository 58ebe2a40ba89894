"""``watchlist calibrate``: fit the thresholds to the user's own cameras."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from cli.common import Recognizer, card_of, console, database_path, open_own_list, open_store
from cli.enrolment import Db
from pipeline.errors import SettingsError

if TYPE_CHECKING:
    from watchlist.store import Store

TABLE_SHOTS = 3


def command(
    db: Db,
    strangers: Annotated[
        Path | None,
        typer.Option(help="output folder of a run over footage that shows nobody on the list: fit the thresholds to it"),
    ] = None,
    camera: Annotated[str | None, typer.Option(help="only this source of that footage")] = None,
    reset: Annotated[bool, typer.Option("--reset", help="return to the thresholds of the recogniser's card")] = False,
    recognizer: Recognizer = None,
) -> None:
    """Fit the thresholds to your own cameras, and show the cosine threshold for each false-alarm rate and face width."""
    from watchlist.gallery import list_length

    changing = reset or strangers is not None
    store = open_own_list(db) if changing else open_store(database_path(db), must_exist=True)
    card = card_of(recognizer)
    if strange := store.recognizers_enrolled() - {card["sha256"]}:
        store.close()
        raise SettingsError(f"{store.path}: enrolled with another recogniser ({min(strange)[:12]}): name it with --recognizer")
    if reset:
        store.put_calibration(card["sha256"], None)
    if strangers is not None:
        _fit(store, card, strangers, camera)
    photos, identities = store.active_photos()
    size = list_length(identities)
    own, thresholds = store.calibration(card["sha256"]), store.thresholds(card)
    store.close()
    rates = (0.1, 0.03, 0.01, 0.003, 0.001)
    origin = "fitted to your footage" if own else "as they came with the recogniser"
    title = f"{len(photos)} enrolled photos, templates of {TABLE_SHOTS} shots, {origin}"
    table = Table("face px", *(f"fpir {rate:g}" for rate in rates), "strangers", box=None, title=title)
    for face_px in (12, 16, 24, 40, 80):
        cosines = (f"{thresholds.cosine(rate, size, face_px, TABLE_SHOTS):.3f}" for rate in rates)
        table.add_row(str(face_px), *cosines, str(thresholds.people(face_px)))
    console.print(table)


def _fit(store: Store, card: dict[str, Any], strangers: Path, camera: str | None) -> None:
    """Fit the thresholds to footage of strangers, and store them. Raises SettingsError if no face width gets new thresholds."""
    from watchlist.database import StoreError
    from watchlist.footage_calibration import fit_to_tracks, usable_tracks

    path = database_path(strangers)
    footage = open_store(path, must_exist=True)
    rows = list(footage.tracks(camera))
    footage.close()
    tracks = usable_tracks(rows, card["sha256"])
    try:
        found = fit_to_tracks(store, card, tracks, path)
    except StoreError as error:
        raise SettingsError(str(error)) from None
    for fit in found.fits:
        console.print(fit.text())
    if found.unchanged:
        raise SettingsError(
            f"calibrate: {found.tracks} tracks show {found.people} people, who give no better thresholds than those "
            "that are there; nothing was changed"
        )
    store.put_calibration(card["sha256"], found.bins, found.tracks)
    store.log_audit("calibrate", tracks=found.tracks, strangers=[fit.strangers for fit in found.fits])
