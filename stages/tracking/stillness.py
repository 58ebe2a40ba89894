"""Detects tracks that never move in the scene, such as those of posters and statues."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SURE_SCORE = 0.8  # detection score of a sure look
SURE_POSE_ERROR = 0.15  # of a frontal look: mean distance of the landmarks from the frontal template, in eye distances
MAX_SPAN = 0.3  # of the centre, in face widths: who sits still moves further in a few seconds
MAX_GROWTH = 1.2  # of the width
MIN_PLACES = 5
SMOOTH = 5  # detections of the running median, against single wrong boxes
SPREAD = (5, 95)  # percentiles between which the track's extent is measured


def never_moved(path: Sequence[Sequence[float]], camera: Sequence[tuple[float, float] | None], least_s: float) -> bool:
    """Return whether a track stayed in one place of the scene.

    Args:
        path: for each detection PTS seconds and box x1 y1 x2 y2 in pixels.
        camera: for each detection how far the scene had shifted in the frame, in pixels; None where that is not known.
        least_s: the track must have lasted so many seconds.
    """
    known = [(*place, *offset) for place, offset in zip(path, camera, strict=True) if offset is not None]
    if len(known) < max(MIN_PLACES, len(path) / 2):
        return False
    rows = np.array(known, np.float64)
    if rows[-1, 0] - rows[0, 0] < least_s:
        return False
    places = np.column_stack([(rows[:, 1:3] + rows[:, 3:5]) / 2 - rows[:, 5:7], rows[:, 3] - rows[:, 1]])
    smooth = np.median(np.lib.stride_tricks.sliding_window_view(places, SMOOTH, axis=0), axis=-1)
    low, high = np.percentile(smooth, SPREAD, axis=0)
    span = float(np.hypot(*(high - low)[:2])) / max(1.0, float(np.median(smooth[:, 2])))
    return span < MAX_SPAN and float(high[2]) < MAX_GROWTH * max(1.0, float(low[2]))
