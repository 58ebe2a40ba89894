"""Taking a person, or one photo, off the list, in the database and in the files beside it, and the proof that nothing is left."""

from __future__ import annotations

import json
from collections.abc import Iterable

from watchlist.jsonl import change_lines
from watchlist.leftover_scan import Finder
from watchlist.people import Enrolment, Identity, removed_name
from watchlist.store import Store

LEAST = 6  # bytes of a name that is looked for: shorter ones are found by chance in pictures
WITH_LINES = ("sightings.jsonl", "alerts.jsonl")


def remove_person(store: Store, identity: int) -> list[str] | None:
    """Delete a person's photos, embeddings, name and details, write the database's file anew without them, and take the name out
    of the lines and the report beside it.

    Returns:
        The files that may still hold something of it, because somebody else uses them; None if there is no such person.

    Raises OSError, sqlite3.Error, StoreError.
    """
    person, photos = store.identity(identity), store.enrolments(identity)
    if person is None:
        return None
    store.remove_identity(identity)
    store.log_audit("remove", identity=identity)
    _rename(store, person)
    details = (person.name, person.external_id, person.purpose, person.authority, *(photo.photo for photo in photos))
    return _proven(store, (text for text in details if text and not store.text_in_use(text)), photos)


def remove_photo(store: Store, identity: int, photo: int) -> list[str] | None:
    """The same for one photo of a person who stays on the list."""
    photos = [found for found in store.enrolments(identity) if found.id == photo]
    if not photos or not store.remove_photo(identity, photo):
        return None
    store.log_audit("remove", identity=identity, photo=photo)
    return _proven(store, (found.photo for found in photos if not store.text_in_use(found.photo)), photos)


def _rename(store: Store, person: Identity) -> None:
    """Put the id in place of the name in the lines beside the database; the report is made again when it is asked for."""
    out = store.path.parent

    def unnamed(line: str) -> str:
        try:
            found = json.loads(line)
            ours = found["identity"] == person.id and found["name"] is not None
        except (ValueError, KeyError, TypeError, RecursionError):
            return line
        return json.dumps(found | {"name": removed_name(person.id)}) + "\n" if ours else line

    for name in WITH_LINES:
        change_lines(out / name, unnamed)
    report = out / "report.html"
    if report.is_file() and person.name in report.read_text(errors="replace"):
        report.unlink()


def _proven(store: Store, texts: Iterable[str], photos: list[Enrolment]) -> list[str]:
    """Remove deleted content from the database's file, and look whether some is left: in which files."""
    compacted = store.finish_erasure()
    names = (text.encode() for text in set(texts) if len(text.encode()) >= LEAST)
    finder = Finder(names, (blob for photo in photos for blob in (photo.vector.tobytes(), photo.chip)), set())
    files = [store.path.with_name(store.path.name + end) for end in ("", "-wal")]
    files += [store.path.with_name(name) for name in WITH_LINES]
    left = [path.name for path in files if path.is_file() and finder.in_file(path)]
    return left if compacted or left else [store.path.name]
