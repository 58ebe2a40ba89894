"""Remove a person or a photo from the database and the files beside it, and verify that nothing is left."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from watchlist.jsonl import map_lines, replace_text
from watchlist.leftover_scan import LeftoverScanner
from watchlist.output_folder import delete_previews
from watchlist.people import Enrolment, Identity, removed_name
from watchlist.store import Store

LEAST = 6  # bytes of a name that is looked for: shorter ones are found by chance in pictures
WITH_LINES = ("sightings.jsonl", "alerts.jsonl")
SUMMARY = "run.json"


def remove_person(store: Store, identity: int) -> list[str] | None:
    """Delete a person's photos, embeddings, name and details, write the database's file anew without them, and take the name out
    of the lines and the report beside it.

    Returns:
        The files that may still hold something of it, because somebody else uses them; None if there is no such person.

    Raises OSError, sqlite3.Error, StoreError.
    """
    person, photos = store.identity(identity), store.enrolments(identity)
    if person is None:
        if store.erasure_pending():  # a removal that was cut off
            store.finish_erasure()
        return None
    _unname_files(store, person)  # first: a removal that is cut off can be asked for again
    store.remove_identity(identity)
    store.log_audit("remove", identity=identity)
    details = (person.name, person.external_id, person.purpose, person.authority, *(photo.photo for photo in photos))
    return _proven(store, (text for text in details if text and not store.text_in_use(text)), photos)


def merge_people(store: Store, identity: int, into: int) -> int:
    """Make two people one, in the database and in the lines beside it. Returns how many photos the second has then.

    Raises StoreError, see `Store.merge`; OSError.
    """
    old, new = store.identity(identity), store.identity(into)
    photos = store.merge(identity, into)
    assert old is not None and new is not None  # else the store has refused
    _rename_lines(store, old, into, new.name)
    (store.path.parent / "report.html").unlink(missing_ok=True)
    store.log_audit("merge", identity=identity, into=into)
    return photos


def remove_photo(store: Store, identity: int, photo: int) -> list[str] | None:
    """The same for one photo of a person who stays on the list."""
    photos = [found for found in store.enrolments(identity) if found.id == photo]
    if not photos or not store.remove_photo(identity, photo):
        return None
    store.log_audit("remove", identity=identity, photo=photo)
    return _proven(store, (found.photo for found in photos if not store.text_in_use(found.photo)), photos)


def _unname_files(store: Store, person: Identity) -> None:
    """Put the id in place of the name in the files beside the database; the report, which shows the face too, is made again when
    it is asked for, and so are pictures of photos with several faces."""
    out, label = store.path.parent, removed_name(person.id)
    _rename_lines(store, person, person.id, label)
    (out / "report.html").unlink(missing_ok=True)
    delete_previews(out)  # nobody can tell whom they show
    if not any(person.name in name for other, name in store.names().items() if other != person.id):
        _unname_summary(out / SUMMARY, person, label)


def _rename_lines(store: Store, person: Identity, identity: int, label: str) -> None:
    def renamed(line: str) -> str:
        try:
            found = json.loads(line)
            ours = found["identity"] == person.id and found["name"] is not None
        except (ValueError, KeyError, TypeError, RecursionError):
            return line
        return json.dumps(found | {"identity": identity, "name": label}) + "\n" if ours else line

    for name in WITH_LINES:
        map_lines(store.path.parent / name, renamed)


def _unname_summary(path: Path, person: Identity, label: str) -> None:
    """Take the name out of what ``run.json`` tells of the watchlist: refused photos, warnings, who is not looked for."""
    try:
        summary = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return

    def unnamed(value: Any) -> Any:
        if isinstance(value, str):
            return label if person.name in value else value
        if isinstance(value, list):
            return [unnamed(each) for each in value]
        if isinstance(value, dict):
            ours = isinstance(value.get("name"), str) and person.name in value["name"]
            return {key: label if ours and key in ("name", "photo") else unnamed(each) for key, each in value.items()}
        return value

    if isinstance(summary, dict):
        for part in (summary, *(run for run in summary.get("runs") or () if isinstance(run, dict))):
            if "watchlist" in part:
                part["watchlist"] = unnamed(part["watchlist"])
        replace_text(path, json.dumps(summary, indent=2) + "\n")


def _forms(text: str) -> set[bytes]:
    """How a text stands in databases and lines, in JSON, and in pages."""
    page = html.escape(text, quote=False).replace('"', "&#34;").replace("'", "&#39;")
    return {text.encode(), json.dumps(text)[1:-1].encode(), page.encode()}


def _proven(store: Store, texts: Iterable[str], photos: list[Enrolment]) -> list[str]:
    """Remove deleted content from the database's file, and look whether some is left: in which files."""
    compacted = store.finish_erasure()
    names = {form for text in set(texts) if len(text.encode()) >= LEAST for form in _forms(text)}
    own = [photo for photo in photos if not store.chip_in_use(photo)]
    finder = LeftoverScanner(names, (blob for photo in own for blob in (photo.vector.tobytes(), photo.chip)), set())
    files = [store.path.with_name(store.path.name + end) for end in ("", "-wal")]
    files += [store.path.with_name(name) for name in (*WITH_LINES, SUMMARY)]
    files += store.path.parent.glob("*.part")
    left = [path.name for path in files if path.is_file() and finder.scan_file(path)]
    return left if compacted or left else [store.path.name]
