"""Farsight for programs: enrol people, process recordings, search back, without a shell.

    import farsight

    watchlist = farsight.Watchlist("people.db")
    watchlist.enrol("people/")
    for sighting in farsight.process("recording.mp4", watchlist, out="out/"):
        print(sighting.track, sighting.outcome, sighting.name, sighting.score)
    for hit in farsight.search("photo.jpg", "out/", top=5):
        print(hit.track, hit.score)

Every function raises `FarsightError` with one line that says what is wrong and what to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import FarsightError

if TYPE_CHECKING:
    from watchlist.enrolment import Verdict
    from watchlist.people import Identity

__all__ = ["FarsightError", "Hit", "Sighting", "Watchlist", "process", "search"]


@dataclass(frozen=True)
class Sighting:
    """One finished track and what was decided of it. Fields are those of a line of ``sightings.jsonl``.

    ``start_s`` and ``end_s`` are PTS seconds. ``outcome`` is ``match``, ``no_match`` or ``not_assessable``; ``identity`` and
    ``name`` are None unless it is a match. ``score`` is the cosine to the nearest person, ``threshold`` the cosine a match
    needs at ``fpir``. ``face_px`` is the face width in pixels. ``crop`` is the original crop of the best shot, if one was kept.
    """

    source: str
    track: str
    start_s: float
    end_s: float
    outcome: str
    identity: int | None
    name: str | None
    score: float | None
    threshold: float | None
    fpir: float
    shots: int
    face_px: float
    crop: Path | None
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Hit:
    """One past track that a search found. Fields as in `Sighting`; ``fpir`` is that of the whole search."""

    source: str
    track: str
    start_s: float
    end_s: float
    outcome: str
    score: float
    threshold: float
    fpir: float
    crop: Path | None


class Watchlist:
    """The people to find, in a database file. It is created when somebody is enrolled.

    Args:
        path: the database, or the output folder that holds it.
        recognizer: an ArcFace-style ONNX file whose embeddings the list holds; None: the project's own.
    """

    def __init__(self, path: str | Path, recognizer: str | Path | None = None) -> None:
        from cli.common import database_path

        self.path = database_path(Path(path))
        self.recognizer = None if recognizer is None else Path(recognizer)

    def enrol(self, photos: str | Path | Sequence[str | Path], name: str | None = None, face: int | None = None) -> list[Verdict]:
        """Enrol photos.

        Args:
            photos: a folder ``NAME/*.jpg`` or a CSV of several people; or, with ``name``, one or more photos of that person.
            name: whose photos they are.
            face: which face of the photo, 1 for the largest, where it shows several.

        Returns:
            A verdict for each photo: ``reason`` is "" where it was enrolled.
        """
        from cli.common import open_gate, open_own_list
        from watchlist.database import StoreError
        from watchlist.enrolment import enrol
        from watchlist.photo_list import list_people
        from watchlist.photos import Entry, PhotoError

        try:
            if name is None:
                entries = list_people(Path(photos)).entries  # type: ignore[arg-type]
            else:
                several = [photos] if isinstance(photos, str | Path) else photos
                entries = [Entry(name, Path(photo), {}, face) for photo in several]
            gate, digest = open_gate("auto", recognizer=self.recognizer)
            store = open_own_list(self.path, must_exist=False)
            try:
                return enrol(store, gate, entries, digest)
            finally:
                store.close()
        except (PhotoError, StoreError) as error:
            raise FarsightError(str(error)) from None

    def people(self) -> list[Identity]:
        """Everybody on the list, with the number of photos and whether they are disabled."""
        from cli.common import open_store

        store = open_store(self.path, must_exist=True)
        try:
            return store.identities()
        finally:
            store.close()

    def remove(self, identity: int) -> bool:
        """Take a person off the list; chips and embeddings are deleted. False if there is no such person."""
        from cli.common import open_own_list

        store = open_own_list(self.path)
        try:
            return store.remove_identity(identity)
        finally:
            store.close()


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
) -> Iterator[Sighting]:
    """Search recordings for the people of a watchlist; everything `run` writes is in ``out`` afterwards.

    Args:
        sources: a video file, a folder of them, a URL, or several.
        watchlist: a `Watchlist`, a database, a folder ``NAME/*.jpg`` or a CSV.
        out: folder for the results.
        fpir: false alarms allowed per passer-by who is on no list, 0 to 1. Lower gives fewer false alarms and more misses.
        engine: ``inline`` (this process) or ``ray`` (several).
        resume: continue an interrupted run in the same folder.
        video: also draw the annotated videos.
        config: a settings file; None: the one for recordings.

    Returns:
        An iterator over all finished tracks, by source and time.

    Raises:
        FarsightError: bad arguments, nothing readable, results that could not be written.
    """
    from cli.common import CONFIGS
    from cli.run import run_recordings
    from cli.settings import load_settings
    from pipeline.sources.find import find_sources

    settings = load_settings(Path(config) if config else CONFIGS / "recording.yaml", engine=engine, fpir=fpir)
    named = [sources] if isinstance(sources, str | Path) else list(sources)
    people = watchlist.path if isinstance(watchlist, Watchlist) else Path(watchlist)
    run_recordings(settings, find_sources([str(source) for source in named]), people, Path(out), resume, video, False)
    return sightings(out)


def sightings(out: str | Path) -> Iterator[Sighting]:
    """The finished tracks of an output folder, by source and time."""
    from cli.common import database_path, open_store

    store = open_store(database_path(Path(out)), must_exist=True)
    try:
        for row in store.iter_final():
            fields = {name: row[name] for name in Sighting.__dataclass_fields__ if name not in ("crop", "reasons")}
            yield Sighting(**fields, crop=_crop(store.path.parent, row), reasons=tuple(row["reasons"]))
    finally:
        store.close()


def search(
    photo: str | Path, db: str | Path, *, top: int = 20, fpir: float = 0.01, camera: str | None = None, face: int | None = None
) -> list[Hit]:
    """Search all past tracks of an output folder for the person of a photo.

    Args:
        photo: a photo of one person.
        db: output folder of a run, or its database.
        top: how many tracks at most.
        fpir: false alarms allowed for the whole search, 0 to 1.
        camera: only tracks of this source.
        face: which face of the photo, 1 for the largest, where it shows several.

    Returns:
        Hits, best first.
    """
    from cli.common import card_of, database_path, open_gate, open_store
    from watchlist.search_back import DatabaseTracks, TrackSearch
    from watchlist.tracks import TrackFilter

    store = open_store(database_path(Path(db)), must_exist=True)
    try:
        card = card_of(None)
        verdict = open_gate("auto")[0].judge("", Path(photo), face)
        if verdict.vector is None:
            raise FarsightError(f"{photo}: {verdict.reason}")
        found, _ = TrackSearch(DatabaseTracks(store, card["sha256"]), store.thresholds(card)).search(
            verdict.vector[None], top, fpir, TrackFilter(camera)
        )
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
                _crop(store.path.parent, hit.row),
            )
            for hit in found
        ]
    finally:
        store.close()


def _crop(folder: Path, row: dict[str, Any]) -> Path | None:
    return folder / row["crop"] if row["crop"] else None
