"""Remove, rename and merge people in the database and the files next to it, and verify that nothing deleted is left."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable
from pathlib import Path

from watchlist.jsonl import map_lines
from watchlist.leftover_scan import LeftoverScanner
from watchlist.output_folder import OutputFolder, delete_previews
from watchlist.people import Enrolment, Identity, removed_name
from watchlist.store import Store
from watchlist.summary_names import SUMMARY, replace_name_in_summary

MIN_NAME_BYTES = 6  # shorter names are not searched for: they occur in pictures by chance
LINE_FILES = ("sightings.jsonl", "alerts.jsonl")


def remove_person(store: Store, identity: int) -> list[str] | None:
    """Delete a person's photos, embeddings, name and details, and remove the name from the files next to the database.

    The database file is rewritten without free space. ``report.html`` and numbered pictures are deleted, because they show the
    face. Annotated videos keep the name: see `videos_of_person`.

    Args:
        store: the watchlist's database.
        identity: id of the person.

    Returns:
        Names of files that may still hold deleted content because another process uses them; None if nobody has this id.

    Raises:
        OSError, sqlite3.Error, StoreError: a file cannot be changed. The call can be repeated.
    """
    person, photos = store.identity(identity), store.enrolments(identity)
    if person is None:
        if store.erasure_pending():  # of an interrupted removal
            store.finish_erasure()
        return None
    _remove_name_from_files(store, person)  # before the database, so that an interrupted removal can be repeated
    store.remove_identity(identity)
    store.log_audit("remove", identity=identity)
    details = (person.name, person.external_id, person.purpose, person.authority, *(photo.photo for photo in photos))
    return _finish_and_verify(store, (text for text in details if text and not store.text_in_use(text)), photos)


def remove_photo(store: Store, identity: int, photo: int) -> list[str] | None:
    """Delete one photo of a person who stays on the list. Returns and raises as `remove_person`."""
    photos = [enrolled for enrolled in store.enrolments(identity) if enrolled.id == photo]
    if not photos or not store.remove_photo(identity, photo):
        return None
    store.log_audit("remove", identity=identity, photo=photo)
    return _finish_and_verify(store, (enrolled.photo for enrolled in photos if not store.text_in_use(enrolled.photo)), photos)


def remove_name(store: Store, name: str) -> list[str] | None:
    """Remove the name of a person who is not on the list, because all of their photos were refused.

    ``run.json`` reports such people. ``report.html`` and numbered pictures are deleted, because they may show the person.

    Args:
        store: the database next to the files.
        name: the name, as ``run.json`` shows it.

    Returns:
        Names of files that still hold the name; None if ``run.json`` does not report it.

    Raises:
        StoreError: somebody on the list has this name.
        OSError: a file cannot be changed.
    """
    out = store.path.parent
    if not replace_name_in_summary(out / SUMMARY, name, "removed", store.names().values()):
        return None
    (out / "report.html").unlink(missing_ok=True)
    delete_previews(out)
    store.log_audit("remove", name_of_refused_photos=True)
    return _finish_and_verify(store, () if store.text_in_use(name) else (name,), [])


def videos_of_person(store: Store, identity: int) -> list[Path]:
    """Annotated videos that show a person's name: those of the sources with a track that matched the person.

    Works after a removal as well, because tracks keep the id.
    """
    folder = OutputFolder(store.path.parent)
    sources = sorted({source for source, _ in store.tracks_of_identity(identity)})
    paths = [folder.safe_path(f"annotated/{source}.mp4") for source in sources]
    return [path for path in paths if path is not None and path.is_file()]


def update_person(store: Store, identity: int, **details: str) -> bool:
    """Change a person's name or details (see `Store.update_identity`), and the name in the files next to the database.

    Raises:
        StoreError: see `Store.update_identity`.
        OSError: a file cannot be changed.
    """
    before = store.identity(identity)
    if not store.update_identity(identity, **details):
        return False
    after = store.identity(identity)
    if before is not None and after is not None and before.name != after.name:
        _rename_in_files(store, before, identity, after.name)
    return True


def merge_people(store: Store, identity: int, into: int) -> int:
    """Merge one person into another, in the database and in the files next to it.

    Args:
        store: the watchlist's database.
        identity: id of the person who is removed.
        into: id of the person who stays.

    Returns:
        Number of photos of the person who stays.

    Raises:
        StoreError: see `Store.merge`.
        OSError: a file cannot be changed.
    """
    old, new = store.identity(identity), store.identity(into)
    photos = store.merge(identity, into)
    assert old is not None and new is not None  # else the store has refused
    _rename_in_files(store, old, into, new.name)
    store.log_audit("merge", identity=identity, into=into)
    return photos


def _remove_name_from_files(store: Store, person: Identity) -> None:
    """Replace the name by the id. The report and the numbered pictures show the face, and `serve` makes the report again."""
    _rename_in_files(store, person, person.id, removed_name(person.id))
    delete_previews(store.path.parent)


def _rename_in_files(store: Store, person: Identity, identity: int, name: str) -> None:
    """Put another id and name in place of a person's, and delete the report."""

    def renamed(line: str) -> str:
        try:
            row = json.loads(line)
            named = row["identity"] == person.id and row["name"] is not None
        except (ValueError, KeyError, TypeError, RecursionError):
            return line
        return json.dumps(row | {"identity": identity, "name": name}) + "\n" if named else line

    out = store.path.parent
    for file in LINE_FILES:
        map_lines(out / file, renamed)
    (out / "report.html").unlink(missing_ok=True)
    others = [other for key, other in store.names().items() if key != person.id]
    replace_name_in_summary(out / SUMMARY, person.name, name, others)


def _encodings(text: str) -> set[bytes]:
    """How a text is stored in databases and lines, in JSON, and in pages."""
    page = html.escape(text, quote=False).replace('"', "&#34;").replace("'", "&#39;")
    return {text.encode(), json.dumps(text)[1:-1].encode(), page.encode()}


def _finish_and_verify(store: Store, texts: Iterable[str], photos: list[Enrolment]) -> list[str]:
    """Rewrite the database file without deleted content. Returns the files in which some is left."""
    compacted = store.finish_erasure()
    names = {form for text in set(texts) if len(text.encode()) >= MIN_NAME_BYTES for form in _encodings(text)}
    deleted = [photo for photo in photos if not store.chip_in_use(photo)]
    scanner = LeftoverScanner(names, (blob for photo in deleted for blob in (photo.vector.tobytes(), photo.chip)), set())
    files = [store.path.with_name(store.path.name + end) for end in ("", "-wal")]
    files += [store.path.with_name(name) for name in (*LINE_FILES, SUMMARY)]
    files += store.path.parent.glob("*.part")
    left = [path.name for path in files if path.is_file() and scanner.scan_file(path)]
    return left if compacted or left else [store.path.name]
