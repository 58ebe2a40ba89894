"""The records that travel between the stages, in the order of the data.

Times are PTS seconds, sizes are pixels of face width, images are RGB uint8 (H, W, 3), boxes are float32 ``x1 y1 x2 y2`` in
pixels of the frame. Every record of a live camera has ``captured``, the Unix time of the frame it was made from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.faces import Faces

Image = NDArray[np.uint8]
FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Frame:
    """A decoded frame.

    Attributes:
        source: name of the recording or camera.
        index: number of the frame in its source, from 0.
        pts_s: presentation time in seconds.
        image: uint8 (H, W, 3) RGB, or planar yuv420p (3H/2, W) where `Decode` was asked for it.
        captured: Unix time at which a live frame arrived; None in recordings.
        damaged: whether the decoder lost data of the frame, so that it may show artefacts.
        after_skip: whether frames right before it were not decoded, because nothing happens in them.
    """

    source: str
    index: int
    pts_s: float
    image: Image
    captured: float | None = None
    damaged: bool = False
    after_skip: bool = False


class _OfFrame:
    """A record about one frame has the capture time of that frame."""

    frame: Frame

    @property
    def captured(self) -> float | None:
        return self.frame.captured


@dataclass(frozen=True)
class DetectedFrame(_OfFrame):
    """A frame and the faces detected in it."""

    frame: Frame
    faces: Faces


@dataclass(frozen=True)
class TrackedFrame(_OfFrame):
    """A frame with tracked faces.

    Attributes:
        frame: the frame.
        faces: the N faces detected in it.
        tracks: int64 (N,), the track number of each face; -1 for a face without a track.
    """

    frame: Frame
    faces: Faces
    tracks: NDArray[np.int64]


@dataclass(frozen=True)
class Shot:
    """One face in one frame, aligned and cropped.

    Attributes:
        pts_s: time of the frame in seconds.
        box: float32 (4,), the face in pixels of the frame.
        score: detection score, 0..1.
        face_px: width of the box in pixels.
        sharpness: standard deviation of the chip's Laplacian.
        quality: 0..1, from size, sharpness, pose and score; shots are ranked by it.
        chip: uint8 (r, r, 3) aligned face at its resolution level r.
        crop: the original pixels around the face, PNG bytes.
    """

    pts_s: float
    box: FloatArray
    score: float
    face_px: float
    sharpness: float
    quality: float
    chip: Image
    crop: bytes


@dataclass(frozen=True)
class Track:
    """A face followed through a source, with its best shots.

    Attributes:
        source: name of the recording or camera.
        track: name of the track, unique in its source.
        version: number of the report, from 1; a long track is reported several times.
        final: whether this is the last report.
        start_s, end_s: PTS of the first and the last detection.
        path: float32 (M, 5), PTS and box of each detection.
        shots: accepted shots, best first.
        rejected: the best rejected shot, if no shot was accepted; it is only shown, never embedded.
        reasons: number of rejected shots by reason.
        captured: Unix time of the live frame that triggered this report; None in recordings and at the end of a source.
        epoch: Unix time of PTS 0 by the clock of that moment; None in recordings.
        static: it never had a sure frontal look and never moved in the scene, so it is likely a thing.
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
    static: bool = False


class _OfTrack:
    """A record about one track has the capture time of that track's report."""

    track: Track

    @property
    def captured(self) -> float | None:
        return self.track.captured


@dataclass(frozen=True)
class RestoredTrack(_OfTrack):
    """A track with super-resolved chips.

    Attributes:
        track: the track.
        restored: for each shot a uint8 (128, 128, 3) chip; None if none was requested.
    """

    track: Track
    restored: tuple[Image | None, ...]


@dataclass(frozen=True)
class EmbeddedTrack(_OfTrack):
    """A track and, for each of its K shots, an embedding.

    Attributes:
        track: the track.
        restored: super-resolved chip of the best shot, if there is one.
        embeddings: float32 (K, D), unit length.
        quality: float32 (K,), predicted quality of each embedding, 0..1.
    """

    track: Track
    restored: Image | None
    embeddings: FloatArray
    quality: FloatArray


@dataclass(frozen=True)
class Template(_OfTrack):
    """One embedding per track.

    Attributes:
        track: the track.
        restored: super-resolved chip of the best shot, if there is one.
        embedding: float32 (D,), unit length; None if no shot was good enough.
        quality: weighted mean quality of the shots' embeddings, 0..1.
    """

    track: Track
    restored: Image | None
    embedding: FloatArray | None
    quality: float


@dataclass(frozen=True)
class Sighting:
    """A template and the result of its search in the watchlist.

    Attributes:
        template: what was searched for.
        outcome: ``match``, ``no_match`` or ``not_assessable``.
        identity, name: the nearest identity; None if nothing was compared.
        score: cosine similarity to it; None if nothing was compared.
        threshold: cosine that a match needs at ``fpir``; None if nothing was compared.
        fpir: false alarms allowed per passer-by.
        face_px: face width of the best shot in pixels.
        reasons: why the track is not assessable, and how many shots were rejected for which reason.
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

    @property
    def captured(self) -> float | None:
        return self.track.captured
