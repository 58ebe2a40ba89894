"""``watchlist``: manage the people to look for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from cli import calibrate
from cli import enrolment as enrolling
from cli.columns import print_columns
from cli.common import Recognizer, card_of, console, database_path, open_own_list, open_store
from cli.enrolment import AsJson, Db
from pipeline.errors import OutputError, SettingsError

app = typer.Typer(no_args_is_help=True, help="Manage the watchlist: who is looked for, with which photos, and why.")
PhotoId = Annotated[int | None, typer.Option(help="only this photo; `photos` shows the IDs")]
app.command("add")(enrolling.add)
app.command("import")(enrolling.import_people)


@app.command("list")
def list_identities(db: Db, as_json: AsJson = False) -> None:
    """List the people on the watchlist."""
    store = open_store(database_path(db), must_exist=True)
    people = store.identities()
    store.close()
    if as_json:
        print(json.dumps([vars(p) for p in people], indent=2))
        return
    print_columns(
        ("id", "name", "photos", "external id", "purpose", "authority", "expires", ""),
        [
            (p.id, p.name, p.photos, p.external_id, p.purpose, p.authority, p.expires, "disabled" if p.set_aside else "")
            for p in people
        ],
    )


@app.command()
def remove(
    db: Db,
    identity: Annotated[int | None, typer.Argument(metavar="ID")] = None,
    photo: PhotoId = None,
    name: Annotated[
        str | None, typer.Option(help="in place of ID: name of a person whose photos were all refused, to remove from run.json")
    ] = None,
    delete_videos: Annotated[
        bool, typer.Option("--delete-videos", help="also delete the annotated videos that show the person's name")
    ] = False,
) -> None:
    """Remove a person or one photo. Photos, embeddings, name and details are deleted, also in files next to the database."""
    from watchlist.removal import remove_name, remove_person, remove_photo, videos_of_person

    if (identity is None) == (name is None):
        raise SettingsError("remove: must have an ID or --name NAME; `watchlist list` shows the IDs")
    if photo is not None and (identity is None or delete_videos):
        raise SettingsError(f"--photo {photo}: goes with an ID alone")
    store = open_own_list(db)
    videos: list[Path] = []
    if identity is None:
        left, which = remove_name(store, name or ""), f"{name!r}"
    elif photo is None:
        left, which = remove_person(store, identity), str(identity)
        videos = videos_of_person(store, identity)
    else:
        left, which = remove_photo(store, identity, photo), f"{identity}, photo {photo}"
    without_photo = None if identity is None else store.identity(identity)
    store.close()
    if left is None and not videos:
        if identity is None:
            raise SettingsError(f"--name {which}: run.json names no such person; remove a person on the list by ID")
        raise SettingsError(f"ID {which}: nobody on the list has it")
    if left is not None:
        console.print(f"removed {which}", markup=False)
    if without_photo is not None and not without_photo.photos:
        console.print(f"{without_photo.name} is not looked for any more: no photo", markup=False)
    for video in videos:
        if delete_videos:
            video.unlink(missing_ok=True)
            console.print(f"deleted {video}", markup=False, soft_wrap=True)
        else:
            console.print(f"{video}: may still show the name; delete it, or use --delete-videos", markup=False, soft_wrap=True)
    if left:
        raise OutputError(f"remove: {', '.join(left)} may still hold what was deleted: others use it; run purge when they do not")


@app.command()
def merge(
    identity: Annotated[int, typer.Argument(metavar="ID")],
    into: Annotated[int, typer.Argument(metavar="INTO", help="the ID that is kept")],
    db: Db,
) -> None:
    """Merge two entries of one person: photos and sightings of ID become those of INTO."""
    from watchlist.database import StoreError
    from watchlist.removal import merge_people

    store = open_own_list(db)
    try:
        photos = merge_people(store, identity, into)
    except StoreError as error:
        raise SettingsError(str(error)) from None
    name = store.name_of(into)
    store.close()
    console.print(f"merged {identity} into {into}: {name}, {photos} photos", markup=False)


@app.command()
def move(
    identity: Annotated[int, typer.Argument(metavar="ID")],
    to: Annotated[int, typer.Argument(metavar="TO", help="ID of the person in the photo")],
    db: Db,
    photo: Annotated[int, typer.Option(help="ID of the photo; `photos` shows the IDs")],
) -> None:
    """Move one photo from a person to another."""
    from watchlist.database import StoreError

    store = open_own_list(db)
    try:
        store.move_photo(identity, photo, to)
    except StoreError as error:
        raise SettingsError(str(error)) from None
    store.log_audit("move", identity=identity, photo=photo, to=to)
    store.close()
    console.print(f"moved photo {photo} from {identity} to {to}")


@app.command()
@app.command("set-aside", hidden=True)  # its former name
def disable(
    identity: Annotated[int, typer.Argument(metavar="ID")],
    db: Db,
    photo: PhotoId = None,
) -> None:
    """Stop looking for a person, or stop using one photo, and keep the entry."""
    _switch(db, identity, photo, enable=False)


@app.command()
@app.command("restore", hidden=True)  # its former name
def enable(
    identity: Annotated[int, typer.Argument(metavar="ID")],
    db: Db,
    photo: PhotoId = None,
) -> None:
    """Look again for a disabled person, or use a disabled photo again."""
    _switch(db, identity, photo, enable=True)


def _switch(db: Path, identity: int, photo: int | None, enable: bool) -> None:
    store = open_own_list(db)
    done = store.set_enabled(identity, enable, photo)
    what = f"ID {identity}" + (f", photo {photo}" if photo is not None else "")
    if done:
        store.log_audit("restore" if enable else "set aside", identity=identity, photo=photo)  # the audit log keeps its words
    store.close()
    if not done:
        word = "enable" if enable else "disable"
        raise SettingsError(f"{what}: nothing to {word}; it is not on the list, or is {word}d already")
    console.print(f"{'enabled' if enable else 'disabled'} {what}")


@app.command()
def update(
    identity: Annotated[int, typer.Argument(metavar="ID")],
    db: Db,
    name: Annotated[str | None, typer.Option(help="new name")] = None,
    external_id: Annotated[str | None, typer.Option(help="your own ID of this person")] = None,
    purpose: Annotated[str | None, typer.Option(help="why this person is looked for")] = None,
    authority: Annotated[str | None, typer.Option(help="who ordered the search")] = None,
    expires: Annotated[str | None, typer.Option(help="last day of the search, as 2030-12-31; empty: no end")] = None,
) -> None:
    """Change the details of a person."""
    from watchlist.database import StoreError
    from watchlist.names import UNSAFE_CHARACTERS, is_date
    from watchlist.removal import update_person

    if expires and not is_date(expires):
        raise SettingsError(f"--expires {expires}: must be a date like 2030-12-31")
    for option, text in (("--name", name), ("--external-id", external_id)):
        if text and UNSAFE_CHARACTERS.search(text):
            raise SettingsError(f"{option}: holds a line break or another control character")
    given = {"name": name, "external_id": external_id, "purpose": purpose, "authority": authority, "expires": expires}
    details = {key: value for key, value in given.items() if value is not None}
    if not details:
        raise SettingsError("update: nothing to change; see --help")
    store = open_own_list(db)
    try:
        done = update_person(store, identity, **details)
    except StoreError as error:
        raise SettingsError(str(error)) from None
    if done:
        store.log_audit("update", identity=identity, changed=sorted(details))  # the log outlives the person's entry
    store.close()
    if not done:
        raise SettingsError(f"ID {identity}: nobody on the list has it")
    console.print(f"updated {identity}")


@app.command()
def photos(identity: Annotated[int, typer.Argument(metavar="ID")], db: Db, as_json: AsJson = False) -> None:
    """List the enrolled photos of a person."""
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
        cells = (row["id"], escape(str(row["photo"])), row["face_px"], row["quality"], "disabled" if row["set_aside"] else "")
        table.add_row(*(str(cell) for cell in cells))
    console.print(table)


@app.command()
def reembed(db: Db, recognizer: Recognizer = None) -> None:
    """Compute all embeddings again from the stored photos, after a change of the recogniser."""
    from models import load_recognizer
    from watchlist.enrolment import reembed as embed_again

    store = open_own_list(db)
    card_of(recognizer)  # without thresholds its vectors are of no use
    try:
        embedder = load_recognizer(recognizer)
    except ValueError as error:
        raise SettingsError(str(error)) from None
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("embedding", total=len(store.photo_chips()))
        count = embed_again(store, embedder, lambda done: bar.update(task, completed=done))
    store.close()
    console.print(f"{count} photos embedded with {embedder.digest[:12]}")


app.command("calibrate")(calibrate.command)
