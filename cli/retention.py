"""``purge`` deletes old tracks of live cameras; ``export`` writes an evidence bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from cli.common import console, database_path, finite, open_store
from cli.enrolment import AsJson
from pipeline.errors import OutputError, SettingsError
from pipeline.file_permissions import require_no_links

Db = Annotated[Path, typer.Option(help="output folder of live cameras, or its database")]
Days = typer.Option(callback=finite, min=0, help="days to keep such results after a track has ended; default: for ever")


def purge(
    db: Db,
    match: Annotated[float | None, Days] = None,
    no_match: Annotated[float | None, Days] = None,
    not_assessable: Annotated[float | None, Days] = None,
    pictures: Annotated[float | None, Days] = None,
    as_json: AsJson = False,
) -> None:
    """Delete old tracks of live cameras, by outcome, and check that no trace of them is left."""
    from watchlist.retention import RetentionPolicy, purge

    if all(days is None for days in (match, no_match, not_assessable, pictures)):
        raise SettingsError("purge: say how many days to keep: --match, --no-match, --not-assessable or --pictures")
    path = database_path(db)
    require_no_links(path.parent)
    store = open_store(path, must_exist=True)
    policy = RetentionPolicy({"match": match, "no_match": no_match, "not_assessable": not_assessable}, pictures)
    proof = purge(store, path.parent, policy)
    store.close()
    if as_json:
        print(json.dumps(vars(proof), indent=2))
    else:
        console.print(
            f"deleted {proof.tracks} tracks and {proof.pictures} pictures; looked for them in {len(proof.looked_in)} files"
        )
    if not proof.compacted:
        raise OutputError(f"purge: {path} is in use, and deleted content may still be in it; run purge again when it is not")
    if proof.left:
        raise OutputError(
            f"purge: still named in {', '.join(proof.left)}; delete these files, or what they hold of deleted tracks, and "
            "run purge again: it looks for the same once more"
        )


def export(
    zip_file: Annotated[Path, typer.Argument(metavar="ZIP", help="ZIP file to write")],
    db: Db,
    track: Annotated[list[str] | None, typer.Option(help="SOURCE/TRACK; may be repeated")] = None,
    identity: Annotated[int | None, typer.Option(help="ID: all tracks that matched this person")] = None,
    force: Annotated[bool, typer.Option("--force", help="replace an existing file")] = False,
) -> None:
    """Write an evidence bundle: chosen tracks with images, decisions and hashes of all files."""
    from watchlist.evidence import TargetError, export_case

    path = database_path(db)
    store = open_store(path, must_exist=True)
    try:
        rows = store.find_tracks(
            [*map(_source_and_name, track or []), *([] if identity is None else store.tracks_of_identity(identity))]
        )
        missing = set(track or []) - {f"{row['source']}/{row['track']}" for row in rows}
        if missing or not rows:
            raise SettingsError(f"--track {min(missing)}: no such track" if missing else "nothing to export: no such track")
        count = export_case(store, path.parent, rows, zip_file, force)
    except TargetError as error:
        raise SettingsError(str(error)) from None
    noted = "" if not store.read_only else f"; not in the audit log, {path} cannot be written to"
    store.close()
    console.print(f"{zip_file}: {len(rows)} tracks, {count} files{noted}", markup=False)


def _source_and_name(text: str) -> tuple[str, str]:
    """SOURCE/TRACK; a source's name may hold slashes."""
    source, _, name = text.rpartition("/")
    return source, name
