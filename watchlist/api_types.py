"""What the Python API returns: people, verdicts on photos, sightings and hits of a search (see `farsight`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Person:
    """One person on a watchlist.

    Attributes:
        id: never reused, not even after a removal.
        name: as enrolled, in Unicode form NFC.
        photos: number of enrolled photos that are matched against.
        enabled: False if the person was disabled; such a person stays on the list and is not matched.
        external_id, purpose, authority: free text, None if not given.
        expires: ISO date after which the person is not matched; None: never.
    """

    id: int
    name: str
    photos: int
    enabled: bool
    external_id: str | None
    purpose: str | None
    authority: str | None
    expires: str | None


@dataclass(frozen=True)
class Verdict:
    """What the enrolment gate decided about one photo.

    Attributes:
        name: the person's name.
        photo: file name of the photo.
        reason: "" if the photo was enrolled, else the reason, such as ``too_small: the face is 19 pixels wide, 24 are needed``.
        identity: id of the person; None if none of their photos is on the list.
        face_px: width of the face in pixels of the photo; 0 if no face was chosen.
        quality: the recogniser's quality estimate, 0 to 1.
        rotation: degrees counter-clockwise by which the photo was turned upright: 0, 90, 180 or 270.
        preview: the photo with its faces numbered, if one of several has to be chosen (``face=``).
    """

    name: str
    photo: str
    reason: str
    identity: int | None
    face_px: float
    quality: float
    rotation: int
    preview: Path | None

    @property
    def enrolled(self) -> bool:
        """Whether the photo is on the list now."""
        return not self.reason

    @property
    def code(self) -> str:
        """The reason without its details, such as ``too_small``; "" if the photo was enrolled."""
        return self.reason.partition(":")[0]


@dataclass(frozen=True)
class Sighting:
    """One finished track and its decision: a line of ``sightings.jsonl``.

    Attributes:
        source: name of the recording or camera.
        track: name of the track, unique within its source.
        start_s, end_s: PTS seconds of the first and the last detection.
        outcome: ``match``, ``no_match`` or ``not_assessable``.
        identity, name: the matched person; None unless the outcome is ``match``.
        score: cosine to the nearest person on the list, -1 to 1; None if there was nothing to compare.
        threshold: cosine that a match needs at ``fpir``, for this face width and list.
        fpir: false alarms allowed per passer-by who is not on the list.
        shots: number of face chips in the template.
        face_px: face width in pixels of the frame.
        crop: original crop of the best shot; None if there is none.
        reasons: why shots were rejected, or why the track is not assessable.
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
    """One past track that a search found. Fields are those of `Sighting`; ``fpir`` is the rate for the whole search."""

    source: str
    track: str
    start_s: float
    end_s: float
    outcome: str
    score: float
    threshold: float
    fpir: float
    crop: Path | None
