"""``watchlist add`` and ``watchlist import``: enrol people from photos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.common import PREVIEWS, Recognizer, card_of, console, open_gate, open_own_list
from pipeline.errors import SettingsError

if TYPE_CHECKING:
    from rich.progress import Progress

    from cli.settings import Settings
    from watchlist.enrolment import Verdict
    from watchlist.photo_list import PhotoList
    from watchlist.photos import PhotoEntry
    from watchlist.store import Store

MAX_TRACKS = 1000  # tracks of one person that --look-back prints at most

Db = Annotated[Path, typer.Option(help="database file, or the folder that holds it")]
AllowLookalike = Annotated[
    bool, typer.Option("--allow-lookalike", help="enrol a person who looks like somebody else on the list, such as a twin")
]
Anyway = Annotated[bool, typer.Option("--anyway", hidden=True)]  # the former name of --allow-lookalike
Back = Annotated[bool, typer.Option("--look-back", help="then search past tracks for the enrolled people")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]
Face = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="number of the face in a photo with several faces; 1 is the largest; a refusal names an image with the numbers",
    ),
]


def add(
    name: Annotated[str, typer.Argument(help="the person's name")],
    photos: Annotated[list[Path], typer.Argument(help="one or more photos of this person")],
    db: Db,
    face: Face = None,
    external_id: Annotated[str | None, typer.Option(help="your own ID, for people of the same name")] = None,
    allow_lookalike: AllowLookalike = False,
    look_back: Back = False,
    recognizer: Recognizer = None,
    as_json: AsJson = False,
    anyway: Anyway = False,
) -> None:
    """Enrol photos of one person."""
    from watchlist.names import UNSAFE_CHARACTERS, normalised_name
    from watchlist.photos import PhotoEntry

    try:
        name = normalised_name(name)
    except ValueError as error:
        raise SettingsError(f"the name {error}") from None
    if external_id and UNSAFE_CHARACTERS.search(external_id):
        raise SettingsError("--external-id: holds a control character")
    if face is not None and len(photos) > 1:
        raise SettingsError(f"--face {face}: is of one photo, {len(photos)} are given; add them one by one")
    details = {"external_id": external_id.strip()} if external_id and external_id.strip() else {}
    _enrol(
        [PhotoEntry(name, photo, details, face) for photo in photos],
        db,
        allow_lookalike or anyway,
        look_back,
        recognizer,
        as_json,
    )


def import_people(
    people: Annotated[Path, typer.Argument(help="folder NAME/*.jpg|png, or CSV with the columns name,image")],
    db: Db,
    allow_lookalike: AllowLookalike = False,
    look_back: Back = False,
    recognizer: Recognizer = None,
    as_json: AsJson = False,
    anyway: Anyway = False,
) -> None:
    """Enrol the people of a folder or a CSV."""
    from watchlist.photo_list import read_photo_list
    from watchlist.photos import PhotoError

    if not people.exists():
        raise SettingsError(f"{people}: no such file or folder")
    try:
        listing = read_photo_list(people)
    except PhotoError as error:
        raise SettingsError(str(error)) from None
    if not as_json:
        print_listing(listing)
    _enrol(listing.entries, db, allow_lookalike or anyway, look_back, recognizer, as_json, listing.skipped)


def enrol_list(store: Store, people: Path, settings: Settings) -> dict[str, Any]:
    """Enrol a folder or CSV for a run, and print which photos were refused or left out.

    Args:
        store: the run's database.
        people: the folder or CSV.
        settings: of the run.

    Returns:
        The key ``watchlist`` of ``run.json``.

    Raises:
        SettingsError: the list cannot be read, or all photos were refused.
    """
    from watchlist.database import StoreError
    from watchlist.enrolment import enrol
    from watchlist.photo_list import read_photo_list
    from watchlist.photos import PhotoError

    try:
        listing = read_photo_list(people)
    except PhotoError as error:
        raise SettingsError(str(error)) from None
    shared, previews = settings.shared, store.path.parent / PREVIEWS
    gate, digest = open_gate(settings.device, shared.get("detector"), shared.get("recognizer"), previews=previews)
    try:
        with progress() as bar:
            task = bar.add_task("enrolling", total=len(listing.entries))
            verdicts = enrol(store, gate, listing.entries, digest, lambda verdict: bar.advance(task), listing.warnings.append)
    except StoreError as error:
        raise SettingsError(f"{store.path}: {error}") from None
    print_listing(listing)
    refused = [v for v in verdicts if v.reason]
    for verdict in refused:
        console.print(f"refused {verdict.who}/{verdict.photo}: {verdict.reason}", markup=False, soft_wrap=True)
    absent = not_enrolled(verdicts)
    for who in absent:
        console.print(f"{who} is not looked for: no usable photo", markup=False)
    named = {verdict.identity for verdict in verdicts}
    for person in (p for p in store.identities() if p.id not in named and not p.set_aside):
        console.print(f"{person.name} is not in {people}, but still looked for: watchlist disable {person.id}", markup=False)
    if len(refused) == len(verdicts):
        first = refused[0]
        raise SettingsError(f"--watchlist {people}: no usable photo ({len(refused)} refused, {first.photo}: {first.reason})")
    return {
        "photos": len(verdicts),
        "enrolled": len(verdicts) - len(refused),
        "turned": sum(bool(v.turns) and not v.reason for v in verdicts),
        "refused": [{"name": v.who, "photo": v.photo, "reason": v.reason} for v in refused],
        "left_out": [{"path": path, "reason": reason} for path, reason in listing.skipped],
        "warnings": listing.warnings,
        "not_looked_for": [*absent, *store.inactive_names()],
    }


def print_listing(listing: PhotoList) -> None:
    """Print which files of a folder or CSV were left out, and its warnings."""
    for path, reason in listing.skipped:
        console.print(f"left out {path}: {reason}", markup=False, soft_wrap=True)
    for warning in listing.warnings:
        print_warning(warning)


def print_warning(text: str) -> None:
    console.print(f"note: {text}", markup=False, soft_wrap=True)


def not_enrolled(verdicts: list[Verdict]) -> list[str]:
    """People who have no photo on the list after enrolment, because all their photos were refused."""
    return list(dict.fromkeys(v.who for v in verdicts if v.identity is None))


def _enrol(
    entries: list[PhotoEntry],
    db: Path,
    allow_lookalike: bool,
    look_back: bool,
    recognizer: Path | None,
    as_json: bool,
    left_out: list[tuple[str, str]] | None = None,
) -> None:
    from watchlist.database import StoreError
    from watchlist.enrolment import enrol

    if as_json and look_back:
        raise SettingsError("--json and --look-back: must be one of them; `search --identity ID --json` looks back")
    store = open_own_list(db, must_exist=False)
    gate, digest = open_gate(
        "auto", recognizer=recognizer, allow_lookalike=allow_lookalike, previews=store.path.parent / PREVIEWS
    )
    warnings: list[str] = []
    try:
        with progress() as bar:
            task = bar.add_task("enrolling", total=len(entries))
            verdicts = enrol(store, gate, entries, digest, lambda verdict: bar.advance(task), warnings.append)
    except StoreError as error:
        raise SettingsError(f"{store.path}: {error}") from None
    if as_json:
        rows = [_row(v) for v in verdicts]
        rows += [{"name": None, "photo": path, "enrolled": False, "reason": f"left_out: {why}"} for path, why in left_out or []]
        print(json.dumps(rows, indent=2))
    else:
        for warning in warnings:
            print_warning(warning)
        for v in verdicts:
            turned = f", turned by {90 * v.turns}°" if v.turns else ""
            done = f"enrolled ({v.face_px:.0f} px, quality {v.quality:.2f}{turned})"
            console.print(f"{v.who}  {v.photo}  {v.reason or done}", markup=False, soft_wrap=True)
            if v.reason.startswith(("several_faces", "no_such_face")):
                console.print("  choose one with: watchlist add NAME PHOTO --face N", markup=False)
        for who in not_enrolled(verdicts):
            console.print(f"{who} is not looked for: no usable photo", markup=False)
        for name in sorted({v.name for v in verdicts if not v.reason} & set(store.inactive_names())):
            console.print(f"{name} is not looked for: disabled or expired", markup=False)
    if look_back:
        _look_back(store, card_of(recognizer), {v.identity: v.who for v in verdicts if not v.reason and v.identity is not None})
    store.close()
    if all(v.reason for v in verdicts):
        raise SettingsError(f"no usable photo ({len(verdicts)} refused)")


def progress() -> Progress:
    """A progress bar with counts and the remaining time."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns, console=console, transient=True)


def _row(v: Verdict) -> dict[str, Any]:
    row = {
        "name": v.name,
        "photo": v.photo,
        "enrolled": not v.reason,
        "reason": v.reason,
        "face_px": round(v.face_px, 1),
        "quality": round(v.quality, 3),
        "identity": v.identity,
        "turned": 90 * v.turns,
    }
    return row if v.preview is None else row | {"preview": str(v.preview)}


def _look_back(store: Store, card: dict[str, Any], people: dict[int, str]) -> None:
    """Print the past tracks that match the people who were just enrolled."""
    import numpy as np

    from watchlist.database import StoreError
    from watchlist.search_back import DatabaseTracks, TrackSearch

    try:
        past = TrackSearch(DatabaseTracks(store, card["sha256"]), store.thresholds(card))
    except StoreError as error:
        raise SettingsError(str(error)) from None
    for identity, name in people.items():
        found, compared = past.search(np.stack([e.vector for e in store.enrolments(identity)]), MAX_TRACKS)
        seen = [hit for hit in found if hit.outcome == "match"]
        for hit in seen:
            where = f"{hit.row['source']}/{hit.row['track']}"
            console.print(f"{name} was seen before: {where}, cosine {hit.score:.2f} (needs {hit.threshold:.2f})", markup=False)
        count = f"at least {len(seen)}" if len(seen) == MAX_TRACKS else str(len(seen))
        console.print(f"{name}: seen in {count} of {compared} tracks of the past", markup=False)
