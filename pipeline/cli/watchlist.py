"""``watchlist``: who is looked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from pipeline.cli import calibrate
from pipeline.cli.common import Recognizer, card_of, console, database_path, open_gate, open_own_list, open_store
from pipeline.errors import SettingsError

if TYPE_CHECKING:
    from watchlist.photos import Entry
    from watchlist.store import Store

MOST_SEEN = 1000  # tracks of one person that looking back names

app = typer.Typer(no_args_is_help=True, help="Keep the watchlist: who is looked for, with which photos, and why.")
Db = Annotated[Path, typer.Option(help="database file, or the folder that holds it")]
Anyway = Annotated[bool, typer.Option("--anyway", help="enrol who looks like somebody else on the list, as twins do")]
Back = Annotated[bool, typer.Option("--look-back", help="then search the past for them")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]


@app.command()
def add(
    name: str,
    photos: Annotated[list[Path], typer.Argument(help="one or more photos of this person")],
    db: Db,
    anyway: Anyway = False,
    look_back: Back = False,
    recognizer: Recognizer = None,
    as_json: AsJson = False,
) -> None:
    """Enrol photos of one person."""
    from watchlist.photos import Entry

    if not name.strip():
        raise SettingsError("the name is empty")
    _enrol([Entry(name.strip(), photo, {}) for photo in photos], db, anyway, look_back, recognizer, as_json)


@app.command("import")
def import_people(
    people: Annotated[Path, typer.Argument(help="a folder NAME/*.jpg|png, or a CSV with name,image")],
    db: Db,
    anyway: Anyway = False,
    look_back: Back = False,
    recognizer: Recognizer = None,
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
    _enrol(entries, db, anyway, look_back, recognizer, as_json)


def _enrol(entries: list[Entry], db: Path, anyway: bool, look_back: bool, recognizer: Path | None, as_json: bool) -> None:
    from watchlist.database import StoreError
    from watchlist.enrol import enrol

    if as_json and look_back:
        raise SettingsError("--json and --look-back: must be one of them; `search --identity ID --json` looks back")
    store = open_own_list(db, must_exist=False)
    gate, digest = open_gate("auto", recognizer=recognizer, anyway=anyway)
    try:
        with Progress(console=console, transient=True) as bar:
            task = bar.add_task("enrolling", total=len(entries))
            verdicts = enrol(store, gate, entries, digest, lambda verdict: bar.advance(task))
    except StoreError as error:
        raise SettingsError(f"{store.path}: {error}") from None
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
        for name in sorted({v.name for v in verdicts if not v.reason} & set(store.not_looked_for())):
            console.print(f"{name} is not looked for: set aside or expired", markup=False)
    if look_back:
        _look_back(store, card_of(recognizer), list(dict.fromkeys(v.name for v in verdicts if not v.reason)))
    store.close()
    if all(v.reason for v in verdicts):
        raise SettingsError(f"no usable photo ({len(verdicts)} refused)")


def _look_back(store: Store, card: dict[str, Any], names: list[str]) -> None:
    """Say where people who were just enrolled had been seen before."""
    import numpy as np

    from watchlist.database import StoreError
    from watchlist.lookback import DatabasePast, LookBack

    try:
        past = LookBack(DatabasePast(store, card["sha256"]), store.thresholds(card))
    except StoreError as error:
        raise SettingsError(str(error)) from None
    ids = {person.name: person.id for person in store.identities()}
    for name in names:
        found, compared = past.search(np.stack([e.vector for e in store.enrolments(ids[name])]), MOST_SEEN)
        seen = [hit for hit in found if hit.outcome == "match"]
        for hit in seen:
            where = f"{hit.row['source']}/{hit.row['track']}"
            console.print(f"{name} was seen before: {where}, cosine {hit.score:.2f} (needs {hit.threshold:.2f})", markup=False)
        count = f"at least {len(seen)}" if len(seen) == MOST_SEEN else str(len(seen))
        console.print(f"{name}: seen in {count} of {compared} tracks of the past", markup=False)


@app.command("list")
def list_identities(db: Db, as_json: AsJson = False) -> None:
    """Show who is on the list."""
    store = open_store(database_path(db), must_exist=True)
    people = store.identities()
    store.close()
    if as_json:
        print(json.dumps([vars(p) for p in people], indent=2))
        return
    table = Table("id", "name", "photos", "external id", "purpose", "authority", "expires", "", box=None)
    for p in people:
        table.add_row(
            str(p.id),
            escape(p.name),
            str(p.photos),
            *(escape(v or "") for v in (p.external_id, p.purpose, p.authority, p.expires)),
            "set aside" if p.set_aside else "",
        )
    console.print(table)


@app.command()
def remove(identity: Annotated[int, typer.Argument(metavar="ID")], db: Db) -> None:
    """Take a person off the list; chips and vectors are deleted."""
    store = open_own_list(db)
    done = store.remove_identity(identity)
    if done:
        store.note("remove", identity=identity)
    store.close()
    if not done:
        raise SettingsError(f"ID {identity}: nobody on the list has it")
    console.print(f"removed {identity}")


@app.command("set-aside")
def set_aside(
    identity: Annotated[int, typer.Argument(metavar="ID")],
    db: Db,
    photo: Annotated[int | None, typer.Option(help="only this photo, by the id that `photos` shows")] = None,
) -> None:
    """Keep a person, or one photo, without looking for them."""
    _change(db, identity, photo, restore=False)


@app.command()
def restore(
    identity: Annotated[int, typer.Argument(metavar="ID")],
    db: Db,
    photo: Annotated[int | None, typer.Option(help="only this photo, by the id that `photos` shows")] = None,
) -> None:
    """Look again for a person, or with a photo, that was set aside."""
    _change(db, identity, photo, restore=True)


def _change(db: Path, identity: int, photo: int | None, restore: bool) -> None:
    store = open_own_list(db)
    done = store.set_aside(identity, photo, restore)
    what = f"ID {identity}" + (f", photo {photo}" if photo is not None else "")
    if done:
        store.note("restore" if restore else "set aside", identity=identity, photo=photo)
    store.close()
    if not done:
        raise SettingsError(f"{what}: nothing to {'restore' if restore else 'set aside'}")
    console.print(f"{'restored' if restore else 'set aside'} {what}")


@app.command()
def update(
    identity: Annotated[int, typer.Argument(metavar="ID")],
    db: Db,
    name: Annotated[str | None, typer.Option()] = None,
    external_id: Annotated[str | None, typer.Option()] = None,
    purpose: Annotated[str | None, typer.Option(help="why this person is looked for")] = None,
    authority: Annotated[str | None, typer.Option(help="who decided it")] = None,
    expires: Annotated[
        str | None, typer.Option(help="date like 2030-12-31 after which nobody looks any more; empty: never")
    ] = None,
) -> None:
    """Change what is kept of a person."""
    from watchlist.database import StoreError
    from watchlist.photos import is_date

    if expires and not is_date(expires):
        raise SettingsError(f"--expires {expires}: must be a date like 2030-12-31")
    given = {"name": name, "external_id": external_id, "purpose": purpose, "authority": authority, "expires": expires}
    details = {key: value for key, value in given.items() if value is not None}
    if not details:
        raise SettingsError("update: nothing to change; see --help")
    store = open_own_list(db)
    try:
        done = store.update_identity(identity, **details)
    except StoreError as error:
        raise SettingsError(str(error)) from None
    if done:
        store.note("update", identity=identity, **details)
    store.close()
    if not done:
        raise SettingsError(f"ID {identity}: nobody on the list has it")
    console.print(f"updated {identity}")


@app.command()
def photos(identity: Annotated[int, typer.Argument(metavar="ID")], db: Db, as_json: AsJson = False) -> None:
    """Show a person's enrolled photos."""
    store = open_store(database_path(db), must_exist=True)
    found = store.enrolments(identity)
    store.close()
    if not found:
        raise SettingsError(f"ID {identity}: nobody on the list has it, or without a photo")
    rows = [
        {"id": p.id, "photo": p.photo, "face_px": round(p.face_px, 1), "quality": round(p.quality, 3), "set_aside": p.set_aside}
        for p in found
    ]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    table = Table("id", "photo", "face px", "quality", "", box=None)
    for row in rows:
        cells = (row["id"], escape(str(row["photo"])), row["face_px"], row["quality"], "set aside" if row["set_aside"] else "")
        table.add_row(*(str(cell) for cell in cells))
    console.print(table)


@app.command()
def reembed(db: Db, recognizer: Recognizer = None) -> None:
    """Make all vectors anew from the kept photos, after a change of the recogniser."""
    from models import load_recognizer
    from watchlist.enrol import reembed as embed_again

    store = open_own_list(db)
    card_of(recognizer)  # without thresholds its vectors are of no use
    try:
        embedder = load_recognizer(recognizer)
    except ValueError as error:
        raise SettingsError(str(error)) from None
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("embedding", total=len(store.chips()))
        count = embed_again(store, embedder, lambda done: bar.update(task, completed=done))
    store.close()
    console.print(f"{count} photos embedded with {embedder.digest[:12]}")


app.command("calibrate")(calibrate.command)
