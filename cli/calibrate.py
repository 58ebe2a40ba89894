"""``watchlist calibrate``: fit the thresholds to a user's own cameras."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from cli.common import Recognizer, card_of, console, database_path, open_own_list, open_store
from pipeline.errors import SettingsError

if TYPE_CHECKING:
    from watchlist.store import Store


def command(
    db: Annotated[Path, typer.Option(help="database file, or the folder that holds it")],
    strangers: Annotated[
        Path | None,
        typer.Option(help="output folder of a run over footage that shows nobody on the list: fit the thresholds to it"),
    ] = None,
    camera: Annotated[str | None, typer.Option(help="only this source of that footage")] = None,
    reset: Annotated[bool, typer.Option("--reset", help="return to the thresholds of the recogniser's card")] = False,
    recognizer: Recognizer = None,
) -> None:
    """Fit the thresholds to your own cameras, and show the cosine threshold for each false-alarm rate and face width."""
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
    size = len(store.active_photos()[0])
    own, thresholds = store.calibration(card["sha256"]), store.thresholds(card)
    store.close()
    rates = (0.1, 0.03, 0.01, 0.003, 0.001)
    origin = "fitted to your footage" if own else "as they came with the recogniser"
    table = Table("face px", *(f"fpir {rate:g}" for rate in rates), box=None, title=f"{size} enrolled photos, {origin}")
    for face_px in (12, 16, 24, 40, 80):
        table.add_row(str(face_px), *(f"{thresholds.cosine(rate, size, face_px):.3f}" for rate in rates))
    console.print(table)


def _fit(store: Store, card: dict[str, Any], strangers: Path, camera: str | None) -> None:
    """Keep thresholds fitted to the tracks of other footage."""
    import numpy as np

    from watchlist.calibration import MIN_COMPARISONS, fit_impostor_scores
    from watchlist.row_checks import checked_embedding, stack_embeddings

    path = database_path(strangers)
    footage = open_store(path, must_exist=True)
    tracks = [
        t
        for t in footage.tracks(camera)
        if t["template"] is not None and t["outcome"] != "not_assessable" and t["recognizer"] == card["sha256"]
    ]
    footage.close()
    photos = store.active_photos()[0]
    if not tracks or not len(photos):
        raise SettingsError(f"calibrate: {len(tracks)} tracks and {len(photos)} photos of this recogniser; both are needed")
    vectors = stack_embeddings(
        [checked_embedding(t["template"], np.float16, path, f"the track {t['source']}/{t['track']}") for t in tracks],
        path,
        "tracks",
    )
    face_px = np.array([t["face_px"] for t in tracks], np.float32)
    bins, counts = fit_impostor_scores(card["impostors"], vectors @ store.photo_embeddings(photos).T, face_px)
    if max(counts) < MIN_COMPARISONS:
        raise SettingsError(
            f"calibrate: {len(tracks)} tracks against {len(photos)} photos give at most {max(counts)} comparisons of one face "
            f"size, {MIN_COMPARISONS} are needed; take longer footage"
        )
    store.put_calibration(card["sha256"], bins, len(tracks))
    store.log_audit("calibrate", tracks=len(tracks), comparisons=counts)
    low = 0.0
    for found, count in zip(bins, counts, strict=True):
        kept = "" if count >= MIN_COMPARISONS else ", too few: as it came with the recogniser"
        console.print(f"faces of {low:g} to {found['face_px']:g} px: {count} comparisons{kept}")
        low = found["face_px"]
