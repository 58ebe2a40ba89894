"""The records that travel between the stages, in the order of the data.

Times are PTS seconds, sizes pixels of face width, colours RGB uint8 (H, W, 3), boxes x1 y1 x2 y2 float32 pixels of the frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.faces import Faces

Image = NDArray[np.uint8]
Vector = NDArray[np.float32]


@dataclass(frozen=True)
class Frame:
    """A decoded picture. ``index`` counts decoded frames from 0; ``image`` is (H, W, 3) RGB, or planar yuv420p (3H/2,
    W) where asked for. ``captured`` is the Unix time at which a live picture came, None in recordings. ``damaged``: data
    of it are lost, so that it shows what was never filmed."""

    source: str
    index: int
    pts_s: float
    image: Image
    captured: float | None = None
    damaged: bool = False


class _OfFrame:
    """What is about a frame was captured with it."""

    frame: Frame

    @property
    def captured(self) -> float | None:
        return self.frame.captured


@dataclass(frozen=True)
class DetectedFrame(_OfFrame):
    """A frame and the faces in it."""

    frame: Frame
    faces: Faces


@dataclass(frozen=True)
class TrackedFrame(_OfFrame):
    """A frame, its faces, and for each the number of its track (int64 (N,)); -1 where there is none (yet)."""

    frame: Frame
    faces: Faces
    tracks: NDArray[np.int64]


@dataclass(frozen=True)
class Shot:
    """One look at one face.

    ``chip`` (r, r, 3) at its rung of the ladder; ``crop`` the original pixels around the face, PNG bytes; ``face_px``
    the width of the face in the frame; ``sharpness`` the standard deviation of the Laplacian of the chip; ``quality``
    0..1, what the shot was chosen by.
    """

    pts_s: float
    box: Vector
    score: float
    face_px: float
    sharpness: float
    quality: float
    chip: Image
    crop: bytes


@dataclass(frozen=True)
class Track:
    """A face followed through a source, with its best shots.

    ``version`` grows with each report of the same track, ``final`` marks the last. ``path`` is float32 (M, 5): PTS
    and box of each detection. ``shots`` are the accepted ones, best first; ``rejected`` is the best one that was
    refused, kept for the eye when nothing else is there. ``reasons`` counts refusals by name. ``captured`` is the Unix
    time of the live picture that led to this report, ``epoch`` that of PTS 0 as the clock stood then; None in recordings.
    """

    source: str
    track: str
    version: int
    final: bool
    start_s: float
    end_s: float
    path: NDArray[np.float32]
    shots: tuple[Shot, ...]
    rejected: Shot | None
    reasons: dict[str, int]
    captured: float | None = None
    epoch: float | None = None


class _OfTrack:
    """What is about a track was captured with it."""

    track: Track

    @property
    def captured(self) -> float | None:
        return self.track.captured


@dataclass(frozen=True)
class RestoredTrack(_OfTrack):
    """A track and, for each shot, its super-resolved 128×128 chip or None where that was not asked for."""

    track: Track
    restored: tuple[Image | None, ...]


@dataclass(frozen=True)
class EmbeddedTrack(_OfTrack):
    """``vectors`` float32 (K, D) unit length and ``quality`` float32 (K,) in 0..1, one for each shot."""

    track: Track
    restored: Image | None
    vectors: Vector
    quality: Vector


@dataclass(frozen=True)
class Template(_OfTrack):
    """One vector for a track: ``vector`` float32 (D,) unit length, or None where no shot was good enough; ``quality`` 0..1."""

    track: Track
    restored: Image | None
    vector: Vector | None
    quality: float


@dataclass(frozen=True)
class Sighting(_OfTrack):
    """A template and what the watchlist says of it.

    ``outcome`` is ``match``, ``no_match`` or ``not_assessable``; ``score`` is the raw cosine to the best identity,
    None when there was nothing to compare; ``threshold`` the cosine a match needs at ``fpir``; ``reasons`` say why it
    is not assessable, or what was refused.
    """

    template: Template
    outcome: str
    identity: int | None
    name: str | None
    score: float | None
    threshold: float | None
    fpir: float
    face_px: float
    reasons: tuple[str, ...]

    @property
    def track(self) -> Track:
        return self.template.track
