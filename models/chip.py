"""The canonical chip: one aligned face, at one of four resolution levels.

A chip is a uint8 RGB image (r, r, 3), r in `RESOLUTION_LEVELS`, aligned by a similarity transform that maps the five
landmarks to `TEMPLATE`: the ArcFace 112-pixel template shifted by (+8, +8), for r = 128. Every network of the project takes or
returns chips; this module defines their common geometry.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

RESOLUTION_LEVELS = (16, 32, 64, 128)
FUSED_LEVELS = (16, 32)  # a shot's embedding is the mean of the embeddings of the chip and its super-resolved chip
CHIP = 128  # pixels a side of the highest level

TEMPLATE: NDArray[np.float32] = np.array(
    [
        (46.2946, 59.6963),
        (81.5318, 59.5014),
        (64.0252, 79.7366),
        (49.5493, 100.3655),
        (78.7299, 100.2041),
    ],
    np.float32,
)
"""Left eye, right eye, nose, left and right mouth corner, as seen in the image, in pixels of a 128 chip."""

EYE_DISTANCE = float(np.linalg.norm(TEMPLATE[1] - TEMPLATE[0]))  # of the template, in pixels of a 128 chip

# The largest face of each level, as the side that its chip covers in the image, in pixels. The upper levels take slightly larger
# faces than they can hold, which loses less than doubling the chip would cost. The lowest must not lose a pixel.
LEVEL_MAX_SIDE = {16: 16.0, 32: 37.0, 64: 74.0, 128: np.inf}


def similarity(landmarks: NDArray[np.float32], target: NDArray[np.float32]) -> NDArray[np.float64]:
    """Fit a similarity transform by least squares (Umeyama 1991, without reflection).

    Args:
        landmarks: (5, 2) in pixels of the image.
        target: (5, 2) target positions, in pixels of the chip.

    Returns:
        float64 (2, 3): the matrix from image pixels to chip pixels.

    Raises:
        ValueError: if the landmarks coincide or are not finite.
    """
    source = np.asarray(landmarks, np.float64)
    goal = np.asarray(target, np.float64)
    source_mean, goal_mean = source.mean(0), goal.mean(0)
    a, b = source - source_mean, goal - goal_mean
    spread = float((a**2).sum())
    if not np.isfinite(spread) or spread < 1e-6:
        raise ValueError("landmarks must be five finite, distinct points")
    # Without reflection, the optimum is a complex number: goal = (real + i·imag) · source.
    real = float((a * b).sum()) / spread
    imag = float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()) / spread
    rotation = np.array([[real, -imag], [imag, real]])
    return np.hstack([rotation, (goal_mean - rotation @ source_mean)[:, None]])


def eye_distance(landmarks: NDArray[np.float32]) -> float:
    """Estimate the pose-independent eye distance in pixels.

    The projected eye distance shrinks with yaw. The scale of the similarity transform over all five landmarks hardly changes, so
    the distance is computed from that scale.

    Args:
        landmarks: (5, 2) in pixels.

    Raises:
        ValueError: as `similarity`.
    """
    matrix = similarity(landmarks, TEMPLATE)
    return EYE_DISTANCE / float(np.hypot(matrix[0, 0], matrix[1, 0]))


def level_for_landmarks(landmarks: NDArray[np.float32]) -> int:
    """The lowest resolution level that loses no detail of a face with these landmarks (5, 2)."""
    return level_for_side(eye_distance(landmarks) / EYE_DISTANCE * CHIP)


def level_for_side(side: float) -> int:
    """The lowest resolution level that loses no detail of a face whose chip covers ``side`` pixels in its image."""
    return next((level for level in RESOLUTION_LEVELS if side <= LEVEL_MAX_SIDE[level]), CHIP)


def warp_chip(
    image: NDArray[np.uint8], landmarks: NDArray[np.float32], level: int | None = None, *, rung: int | None = None
) -> NDArray[np.uint8]:
    """Cut the chip of one face out of an image.

    The face is warped once, by cubic interpolation: linear interpolation removes detail of small faces that the recogniser needs.
    A
    face more than twice as large as the chip is area-averaged first, to avoid aliasing.

    Args:
        image: uint8 (H, W, 3) RGB.
        landmarks: float32 (5, 2) in its pixels.
        level: side of the chip, one of `RESOLUTION_LEVELS`; None: `level_for_landmarks`.
        rung: the former name of ``level``.

    Returns:
        uint8 (level, level, 3) RGB.

    Raises:
        ValueError: if the landmarks coincide, are not finite or lie outside the image.
    """
    level = level or rung or level_for_landmarks(landmarks)
    matrix = similarity(landmarks, TEMPLATE * (level / CHIP))
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if scale < 0.5:
        low, high = landmarks.min(0), landmarks.max(0)
        margin = float((high - low).max()) * 2.5
        x0, y0 = np.maximum((low - margin).astype(int), 0)
        x1, y1 = (high + margin).astype(int) + 1
        part = image[y0:y1, x0:x1]
        if part.size == 0:
            raise ValueError("landmarks lie outside the image")
        width, height = max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale))
        factors = np.array([width / part.shape[1], height / part.shape[0]])
        image = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)
        moved = ((landmarks - (x0, y0) + 0.5) * factors - 0.5).astype(np.float32)
        matrix = similarity(moved, TEMPLATE * (level / CHIP))
    chip = cv2.warpAffine(image, matrix, (level, level), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return chip.astype(np.uint8, copy=False)


def alignment_error(landmarks: NDArray[np.float32]) -> float:
    """Mean distance of aligned landmarks (5, 2) from the template, in eye distances: 0 is frontal; large values mean a profile or
    wrong landmarks."""
    matrix = similarity(landmarks, TEMPLATE)
    placed = landmarks @ matrix[:, :2].T + matrix[:, 2]
    return float(np.linalg.norm(placed - TEMPLATE, axis=1).mean()) / EYE_DISTANCE


def sharpness_of(chip: NDArray[np.uint8]) -> float:
    """Standard deviation of the Laplacian of a chip's grey levels; higher is sharper."""
    return float(cv2.Laplacian(cv2.cvtColor(chip, cv2.COLOR_RGB2GRAY), cv2.CV_32F).std())


def check_chips(chips: NDArray[np.uint8], allowed: tuple[int, ...] = RESOLUTION_LEVELS) -> NDArray[np.uint8]:
    """Return ``chips`` if it is a non-empty uint8 array (N, r, r, 3) with r in ``allowed``; else raise ValueError."""
    array = np.asarray(chips)
    ok = array.dtype == np.uint8 and array.ndim == 4 and array.shape[0] > 0 and array.shape[3] == 3
    if not ok or array.shape[1] != array.shape[2] or array.shape[1] not in allowed:
        raise ValueError(f"chips must be uint8 (N, r, r, 3) with N > 0 and r in {allowed}, got {array.dtype} {array.shape}")
    return array
