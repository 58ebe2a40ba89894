"""``watchlist``: who is looked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from pipeline.cli.common import console, database_path, open_gate, open_store
from pipeline.errors import SettingsError

app = typer.Typer(no_args_is_help=True, help="Keep the watchlist: add, import, list, remove.")
Db = Annotated[Path, typer.Option(help="database file, or the folder that holds it")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]


@app.command()
def add(
    name: str,
    photos: Annotated[list[Path], typer.Argument(help="one or more photos of this person")],
    db: Db,
    as_json: AsJson = False,
) -> None:
    """Enrol photos of one person."""
    from watchlist.photos import Entry

    _enrol([Entry(name, photo, {}) for photo in photos], db, as_json)


@app.command("import")
def import_people(
    people: Annotated[Path, typer.Argument(help="a folder NAME/*.jpg|png, or a CSV with name,image")],
    db: Db,
    as_json: AsJson = False,
) -> None:
    """Enrol a folder or a list of people."""
    from watchlist.photos import PhotoError, list_people

    if not people.exists():
        raise SettingsError(f"{people}: no such file or folder")
    try:
        entries = list_people(people)
    except PhotoError as error:
        raise SettingsError(str(error)) from None
    _enrol(entries, db, as_json)


def _enrol(entries: list, db: Path, as_json: bool) -> None:  # type: ignore[type-arg]
    from watchlist.database import StoreError
    from watchlist.enrol import enrol
    from watchlist.gallery import Gallery

    store = open_store(database_path(db))
    gate, digest = open_gate("auto")
    try:
        Gallery(store.enrolments(), digest)
    except StoreError as error:
        raise SettingsError(f"{store.path}: {error}") from None
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("enrolling", total=len(entries))
        verdicts = enrol(store, gate, entries, digest, lambda verdict: bar.advance(task))
    if as_json:
        rows = [
            {
                "name": v.name,
                "photo": v.photo,
                "enrolled": not v.reason,
                "reason": v.reason,
                "face_px": round(v.face_px, 1),
                "quality": round(v.quality, 3),
            }
            for v in verdicts
        ]
        print(json.dumps(rows, indent=2))
    else:
        for v in verdicts:
            console.print(
                f"{v.name}  {v.photo}  {v.reason or f'enrolled ({v.face_px:.0f} px, quality {v.quality:.2f})'}", markup=False
            )
    store.close()
    if all(v.reason for v in verdicts):
        raise SettingsError(f"no usable photo ({len(verdicts)} refused)")


@app.command("list")
def list_identities(db: Db, as_json: AsJson = False) -> None:
    """Show who is on the list."""
    store = open_store(database_path(db), must_exist=True)
    people = store.identities()
    store.close()
    if as_json:
        print(json.dumps([vars(p) for p in people], indent=2))
        return
    table = Table("id", "name", "photos", "external id", "purpose", "authority", "expires", box=None)
    for p in people:
        table.add_row(
            str(p.id),
            escape(p.name),
            str(p.photos),
            *(escape(v or "") for v in (p.external_id, p.purpose, p.authority, p.expires)),
        )
    console.print(table)


@app.command()
def remove(identity: Annotated[int, typer.Argument(metavar="ID")], db: Db) -> None:
    """Take a person off the list; chips and vectors are deleted."""
    store = open_store(database_path(db), must_exist=True)
    done = store.remove_identity(identity)
    if done:
        store.note("remove", identity=identity)
    store.close()
    if not done:
        raise SettingsError(f"ID {identity}: nobody on the list has it")
    console.print(f"removed {identity}")


@app.command()
def calibrate(db: Db) -> None:
    """Show which cosine each false-alarm rate means for this list, by face size."""
    from models import recognizer_card
    from watchlist.thresholds import Thresholds

    store = open_store(database_path(db), must_exist=True)
    size = sum(p.photos for p in store.identities())
    store.close()
    thresholds = Thresholds(recognizer_card()["impostors"])
    rates = (0.1, 0.03, 0.01, 0.003, 0.001)
    table = Table("face px", *(f"fpir {rate:g}" for rate in rates), box=None, title=f"thresholds for {size} enrolled photos")
    for face_px in (12, 16, 24, 40, 80):
        table.add_row(str(face_px), *(f"{thresholds.cosine(rate, size, face_px):.3f}" for rate in rates))
    console.print(table)
