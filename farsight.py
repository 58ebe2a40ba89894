"""The Python API of Farsight: enrol people, process recordings and search past tracks.

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
import warnings
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from pipeline.errors import FarsightError, SettingsError
from watchlist.api_types import Hit, Person, Sighting, Verdict

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
    """A source failed or was incomplete. The sightings of all other sources are returned."""


class Watchlist:
    """The people to find, stored in a database file.

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
        """Enrol photos. The enrolment gate refuses unsuitable photos with a reason; a refusal is not an error.

        Args:
            photos: without ``name`` a folder ``NAME/*.jpg`` or a CSV of several people; with ``name`` one or more photo files.
            name: name of the person in the photos.
            face: which face of the photo to take if it shows several: 1 is the largest. For a single photo.
            external_id: your own id of the person; distinguishes people of the same name.
            allow_lookalike: also enrol a person who looks like somebody else on the list, such as a twin.

        Returns:
            One verdict per photo, grouped by person.

        Raises:
            FarsightError: the list of photos cannot be read, or the database cannot be changed.
        """
        from cli.common import PREVIEWS, open_gate, open_own_list
        from cli.photo_arguments import photo_entries
        from cli.program_store import one_line_errors
        from watchlist import enrolment

        with one_line_errors():
            entries = photo_entries(photos, name, face, external_id)
            previews = self.path.parent / PREVIEWS
            gate, digest = open_gate("auto", None, self.recognizer, allow_lookalike, previews)
            store = open_own_list(self.path, must_exist=False)
            try:
                judged = enrolment.enrol(store, gate, entries, digest)
            finally:
                store.close()
        return [Verdict(v.name, v.photo, v.reason, v.identity, v.face_px, v.quality, 90 * v.turns, v.preview) for v in judged]

    def people(self) -> list[Person]:
        """All people on the list, ordered by id.

        Raises:
            FarsightError: there is no such database, or it is damaged.
        """
        from cli.program_store import one_line_errors, opened

        with one_line_errors(), opened(self.path) as store:
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
        from cli.program_store import one_line_errors
        from watchlist.removal import remove_person, videos_of_person

        with one_line_errors():
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
    """Search recordings for the people of a watchlist, and write the same files to ``out`` as the command `run`.

    Returns after all sources have been read.

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
        An iterator over all finished tracks, ordered by source and time.

    Raises:
        FarsightError: bad arguments, no readable source, or results that cannot be written.

    Warns:
        SourceWarning: for each source that failed or was incomplete.
    """
    from cli import common
    from cli.program_store import one_line_errors
    from cli.run import RecordingRun, run_recordings
    from cli.settings import load_settings
    from pipeline.sources.find import find_sources

    named = [sources] if isinstance(sources, str | Path) else list(sources)
    people = watchlist.path if isinstance(watchlist, Watchlist) else Path(watchlist)
    out = Path(out)
    quiet, common.console.quiet = common.console.quiet, not verbose
    try:
        with one_line_errors():
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
    """Iterate over the finished tracks of an output folder, ordered by source and time. Rows are read one at a time.

    Args:
        out: output folder of `process`, `run` or `live`, or its database.

    Raises:
        FarsightError: there is no such database, or it is damaged.
    """
    from cli.common import database_path, open_store
    from cli.program_store import final_sightings, one_line_errors

    with one_line_errors():
        store = open_store(database_path(Path(out)), must_exist=True)
    return final_sightings(store)


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
        top: maximum number of tracks to return, 1 or more.
        fpir: false alarms allowed for the whole search, above 0 and at most 0.5. Lower: a match needs a higher cosine.
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
    from cli.program_store import api_hit, one_line_errors, opened
    from watchlist.output_folder import OutputFolder
    from watchlist.search_back import DatabaseTracks, TrackSearch
    from watchlist.time_arguments import parse_time_range, require_one_of
    from watchlist.tracks import TrackFilter

    if top < 1:
        raise SettingsError(f"top {top}: must be 1 or more")
    if not 0 < fpir <= 0.5:
        raise SettingsError(f"fpir {fpir}: must be above 0 and at most 0.5")
    with one_line_errors(), opened(database_path(Path(db))) as store:
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
        return [api_hit(hit, folder) for hit in found]


def _time_text(value: str | datetime | None) -> str | None:
    return value.isoformat() if isinstance(value, datetime) else value
