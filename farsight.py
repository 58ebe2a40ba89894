"""Farsight for programs: enrol people, process recordings, search past tracks, without a shell.

    import farsight

    watchlist = farsight.Watchlist("people.db")
    watchlist.enrol("people/")
    for sighting in farsight.process("recording.mp4", watchlist, out="out/"):
        print(sighting.track, sighting.outcome, sighting.name, sighting.score)
    for hit in farsight.search("photo.jpg", "out/", top=5):
        print(hit.track, hit.score)

Every function raises `FarsightError` with one line: what is wrong, and what to do. ``docs/python-api.md`` has more examples.
"""

from __future__ import annotations

import json
import sqlite3
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import FarsightError, SettingsError, redact
from watchlist.api_types import Hit, Person, Sighting, Verdict

if TYPE_CHECKING:
    from watchlist.store import Store

__all__ = [
    "FarsightError",
    "Hit",
    "Person",
    "Sighting",
    "SourceWarning",
    "Verdict",
    "Watchlist",
    "process",
    "search",
    "sightings",
]


class SourceWarning(UserWarning):
    """A source failed or was incomplete; the sightings of all other sources are there."""


class Watchlist:
    """The people to find, kept in a database file.

    Args:
        path: the database file, or the folder that holds ``farsight.db``. It is created by the first `enrol`.
        recognizer: an ArcFace-style ONNX file that makes the embeddings of this list; None: the project's own network.

    Example:
        >>> watchlist = farsight.Watchlist("people.db")
        >>> [verdict.code for verdict in watchlist.enrol("ada.jpg", name="Ada Lovelace") if not verdict.enrolled]
        ['too_small']
    """

    def __init__(self, path: str | Path, recognizer: str | Path | None = None) -> None:
        from cli.common import database_path

        self.path = database_path(Path(path))
        self.recognizer = None if recognizer is None else Path(recognizer)

    def enrol(
        self,
        photos: str | Path | Sequence[str | Path],
        name: str | None = None,
        *,
        face: int | None = None,
        external_id: str | None = None,
        allow_lookalike: bool = False,
    ) -> list[Verdict]:
        """Enrol photos. Each photo passes the enrolment gate or is refused with a reason; a refusal is no error.

        Args:
            photos: without ``name`` a folder ``NAME/*.jpg`` or a CSV of several people; with ``name`` one or more photo files.
            name: whose photos they are.
            face: which face of the photo to take if it shows several: 1 is the largest. For a single photo.
            external_id: tells people of the same name apart.
            allow_lookalike: also enrol a person who looks like somebody else on the list, such as a twin.

        Returns:
            A verdict for each photo, grouped by person.

        Raises:
            FarsightError: the list of photos cannot be read, or the database cannot be changed.
        """
        from cli.common import PREVIEWS, open_gate, open_own_list
        from watchlist import enrolment

        with _one_line_errors():
            entries = _entries(photos, name, face, external_id)
            previews = self.path.parent / PREVIEWS
            gate, digest = open_gate("auto", None, self.recognizer, allow_lookalike, previews)
            store = open_own_list(self.path, must_exist=False)
            try:
                judged = enrolment.enrol(store, gate, entries, digest)
            finally:
                store.close()
        return [Verdict(v.name, v.photo, v.reason, v.identity, v.face_px, v.quality, 90 * v.turns, v.preview) for v in judged]

    def people(self) -> list[Person]:
        """Everybody on the list, by id.

        Raises:
            FarsightError: there is no such database, or it is damaged.
        """
        with _one_line_errors(), _opened(self.path) as store:
            return [
                Person(p.id, p.name, p.photos, p.set_aside is None, p.external_id, p.purpose, p.authority, p.expires)
                for p in store.identities()
            ]

    def remove(self, identity: int, *, videos: bool = False) -> bool:
        """Delete a person: photos, embeddings, name and details, also from the files next to the database.

        Args:
            identity: the person's id, see `people`.
            videos: also delete the annotated videos that show the person's name. Else they stay, and a warning names them.

        Returns:
            False if nobody on the list has this id.

        Raises:
            FarsightError: the database cannot be changed, or deleted content may be left in a file because it is in use.

        Warns:
            UserWarning: for each annotated video that may still show the name.
        """
        from cli.common import open_own_list
        from watchlist.removal import remove_person, videos_of_person

        with _one_line_errors():
            store = open_own_list(self.path)
            try:
                left = remove_person(store, identity)
                for video in videos_of_person(store, identity):
                    if videos:
                        video.unlink(missing_ok=True)
                    else:
                        warnings.warn(f"{video}: may still show the name; delete it", UserWarning, stacklevel=2)
            finally:
                store.close()
        if left:
            raise FarsightError(
                f"{self.path}: removed, but {', '.join(left)} may still hold what was deleted; purge it when unused"
            )
        return left is not None


def process(
    sources: str | Path | Sequence[str | Path],
    watchlist: Watchlist | str | Path,
    out: str | Path,
    *,
    fpir: float = 0.01,
    engine: str = "inline",
    resume: bool = False,
    video: bool = False,
    config: str | Path | None = None,
    verbose: bool = False,
) -> Iterator[Sighting]:
    """Search recordings for the people of a watchlist. Returns when all is read; ``out`` holds all that the command `run` writes.

    Args:
        sources: a video file, a folder of videos, a URL, or several of them.
        watchlist: a `Watchlist`, a database, a folder ``NAME/*.jpg`` or a CSV.
        out: folder for the results. It must not hold an earlier run, except with ``resume``.
        fpir: false alarms allowed per passer-by who is not on the list, 0 to 1. Lower: fewer false alarms, more misses.
        engine: ``inline`` (this process) or ``ray`` (several processes).
        resume: continue an interrupted run in the same folder.
        video: also draw the annotated videos.
        config: a settings file; None: the one for recordings. A list of another recogniser needs one that names it.
        verbose: show progress on the terminal.

    Returns:
        An iterator over all finished tracks, by source and time.

    Raises:
        FarsightError: bad arguments, no readable source, or results that cannot be written.

    Warns:
        SourceWarning: for each source that failed or was incomplete.
    """
    from cli import common
    from cli.run import RecordingRun, run_recordings
    from cli.settings import load_settings
    from pipeline.sources.find import find_sources

    named = [sources] if isinstance(sources, str | Path) else list(sources)
    people = watchlist.path if isinstance(watchlist, Watchlist) else Path(watchlist)
    out = Path(out)
    quiet, common.console.quiet = common.console.quiet, not verbose
    try:
        with _one_line_errors():
            settings = load_settings(Path(config) if config else common.CONFIGS / "recording.yaml", engine=engine, fpir=fpir)
            run_recordings(RecordingRun(settings, find_sources([str(source) for source in named]), people, out, resume, video))
            reports = json.loads((out / "run.json").read_text())["sources"]
    finally:
        common.console.quiet = quiet
    for report in reports:
        if report["status"] in ("failed", "incomplete"):
            warnings.warn(f"{report['name']}: {report['status']}: {report['reason']}", SourceWarning, stacklevel=2)
    return sightings(out)


def sightings(out: str | Path) -> Iterator[Sighting]:
    """The finished tracks of an output folder, by source and time. Reads one at a time, so years of them need little memory.

    Args:
        out: output folder of `process`, `run` or `live`, or its database.

    Raises:
        FarsightError: there is no such database, or it is damaged.
    """
    from cli.common import database_path, open_store

    with _one_line_errors():
        store = open_store(database_path(Path(out)), must_exist=True)
    return _sightings(store)


def _sightings(store: Store) -> Iterator[Sighting]:
    from watchlist.output_folder import OutputFolder

    folder = OutputFolder(store.path.parent)
    try:
        with _one_line_errors():
            for row in store.iter_final():
                fields = {name: row[name] for name in Sighting.__dataclass_fields__ if name not in ("crop", "reasons")}
                yield Sighting(**fields, crop=folder.picture_path(row["crop"]), reasons=tuple(row["reasons"]))
    finally:
        store.close()


def search(
    photo: str | Path,
    db: str | Path,
    *,
    top: int = 20,
    fpir: float = 0.01,
    since: str | datetime | None = None,
    until: str | datetime | None = None,
    camera: str | None = None,
    min_face_px: float | None = None,
    face: int | None = None,
    recognizer: str | Path | None = None,
) -> list[Hit]:
    """Search past tracks, matched or not, for the person of a photo.

    Args:
        photo: a photo of one person.
        db: output folder of `process`, `run` or `live`, or its database.
        top: number of tracks to return at most, from 1 on.
        fpir: false alarms allowed for the whole search, above 0, up to 0.5. Lower: a match needs a higher cosine.
        since, until: a datetime, or a text as the command `search` takes it (``2026-11-01T18:30``, Unix or PTS seconds).
        camera: only tracks of this source.
        min_face_px: only faces at least this wide, in pixels.
        face: which face of the photo to take if it shows several: 1 is the largest.
        recognizer: an ArcFace-style ONNX file that made the tracks' templates; None: the project's own network.

    Returns:
        Hits, highest cosine first.

    Raises:
        FarsightError: bad arguments, no usable face in the photo, or no such database.
    """
    from cli.common import PREVIEWS, card_of, database_path, open_gate
    from watchlist.output_folder import OutputFolder
    from watchlist.search_back import DatabaseTracks, TrackSearch
    from watchlist.time_arguments import parse_time_range, require_one_of
    from watchlist.tracks import TrackFilter

    if top < 1:
        raise SettingsError(f"top {top}: must be 1 or more")
    if not 0 < fpir <= 0.5:
        raise SettingsError(f"fpir {fpir}: must be above 0 and at most 0.5")
    with _one_line_errors(), _opened(database_path(Path(db))) as store:
        try:
            first, last = parse_time_range(_time_text(since), _time_text(until), "")
            if camera is not None:
                require_one_of("camera", camera, store.sources())
        except ValueError as error:
            raise SettingsError(str(error)) from None
        gate, digest = open_gate("auto", recognizer=recognizer, previews=store.path.parent / PREVIEWS)
        verdict = gate.judge("", Path(photo), face)
        if verdict.vector is None:
            raise SettingsError(f"{photo}: {verdict.reason}")
        where = TrackFilter(camera, first.pts_s, first.at, last.at, min_face_px, last.pts_s)
        past = TrackSearch(DatabaseTracks(store, digest), store.thresholds(card_of(recognizer)))
        found, _ = past.search(verdict.vector[None], top, fpir, where)
        folder = OutputFolder(store.path.parent)
        return [
            Hit(
                hit.row["source"],
                hit.row["track"],
                hit.row["start_s"],
                hit.row["end_s"],
                hit.outcome,
                hit.score,
                hit.threshold,
                hit.fpir,
                folder.picture_path(hit.row["crop"]),
            )
            for hit in found
        ]


def _entries(photos: str | Path | Sequence[str | Path], name: str | None, face: int | None, external_id: str | None) -> list[Any]:
    """What to enrol, one entry a photo. Raises SettingsError, PhotoError."""
    from watchlist.names import UNSAFE_CHARACTERS, normalised_name
    from watchlist.photo_list import read_photo_list
    from watchlist.photos import PhotoEntry

    several = [photos] if isinstance(photos, str | Path) else list(photos)
    if not several:
        raise SettingsError("photos: is empty; name at least one photo")
    if face is not None and (face < 1 or name is None or len(several) != 1):
        raise SettingsError(f"face {face}: must be 1 or more, and goes with the name and the one photo of one person")
    if external_id is not None and UNSAFE_CHARACTERS.search(external_id):
        raise SettingsError("external_id: holds a control character; remove it")
    if name is None:
        if external_id is not None:
            raise SettingsError("external_id: goes with a name; a CSV has a column for it")
        if len(several) != 1:
            raise SettingsError("name: is missing; name the person of these photos, or give one folder or CSV")
        path = Path(several[0])
        if not path.exists():
            raise SettingsError(f"{path}: no such file or folder; name a folder NAME/*.jpg or a CSV")
        return read_photo_list(path).entries
    try:
        name = normalised_name(name)
    except ValueError as error:
        raise SettingsError(f"name {name!r}: {error}; give another") from None
    details = {"external_id": external_id.strip()} if external_id and external_id.strip() else {}
    return [PhotoEntry(name, Path(photo), details, face) for photo in several]


def _time_text(value: str | datetime | None) -> str | None:
    return value.isoformat() if isinstance(value, datetime) else value


@contextmanager
def _opened(path: Path) -> Iterator[Store]:
    from cli.common import open_store

    store = open_store(path, must_exist=True)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """Turn what is wrong with files and databases into a FarsightError of one line. Errors of the program itself pass."""
    from watchlist.photos import PhotoError
    from watchlist.sqlite_connection import StoreError

    try:
        yield
    except (PhotoError, StoreError) as error:
        raise FarsightError(redact(" ".join(str(error).split()))) from None
    except (OSError, sqlite3.Error) as error:
        where = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
        raise FarsightError(f"{where}{getattr(error, 'strerror', None) or error}; what was written is kept") from None
