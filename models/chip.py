"""The canonical chip: one aligned face, and the ladder of sizes it may have.

A chip is an ``r×r`` RGB uint8 picture, ``r`` one of `RUNGS`, in which a similarity transform has put
the five landmarks at `TEMPLATE` (given for ``r = 128``: the ArcFace 112-pixel template moved by +8, +8).
Every network of the project takes or gives chips, so this file is the contract between them.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

RUNGS = (16, 32, 64, 128)
FUSED = (16, 32)  # rungs at which a shot's vector is the mean of its own and that of its super-resolved chip (README, figures)
CHIP = 128

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
"""Left eye, right eye, nose, left and right mouth corner, as seen in the picture, in pixels of a 128 chip."""

EYE_DISTANCE = float(np.linalg.norm(TEMPLATE[1] - TEMPLATE[0]))

# Widest face of each rung, as the side its chip would have in the picture. The upper ones hold some more than themselves, which
# loses less than doubling the chip would cost; of the smallest no pixel may be lost.
HOLDS = {16: 16.0, 32: 37.0, 64: 74.0, 128: np.inf}


def similarity(landmarks: NDArray[np.float32], target: NDArray[np.float32]) -> NDArray[np.float64]:
    """Least-squares similarity transform from ``landmarks`` (5, 2) to ``target`` (5, 2).

    Returns the 2×3 matrix that maps picture pixels to chip pixels (Umeyama 1991, without reflection).
    Raises ValueError if the landmarks coincide or are not finite.
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
    """Distance between the eyes in pixels, from five landmarks (5, 2).

    For a turned head the eyes draw together; the transform's scale, taken over all five points, does
    not, so it is the scale that is reported, in units of the template's eye distance.
    """
    matrix = similarity(landmarks, TEMPLATE)
    return EYE_DISTANCE / float(np.hypot(matrix[0, 0], matrix[1, 0]))


def rung_for(landmarks: NDArray[np.float32]) -> int:
    """The lowest rung that loses nothing of a face with these landmarks (5, 2)."""
    return rung_of(eye_distance(landmarks) / EYE_DISTANCE * CHIP)


def rung_of(side: float) -> int:
    """The lowest rung that loses nothing of a face whose chip would be ``side`` pixels wide in its picture."""
    return next((r for r in RUNGS if side <= HOLDS[r]), CHIP)


def warp_chip(image: NDArray[np.uint8], landmarks: NDArray[np.float32], rung: int | None = None) -> NDArray[np.uint8]:
    """Cut one chip from an RGB picture.

    ``image`` (H, W, 3) uint8, ``landmarks`` (5, 2) in its pixels, ``rung`` one of `RUNGS`, by default
    the one of `rung_for`. Returns (rung, rung, 3) uint8. The face is warped once, straight from the
    picture and by cubic interpolation, since linear takes from small faces what the recogniser needs; only a face larger than the
    chip is first averaged down, so that nothing aliases.
    """
    rung = rung or rung_for(landmarks)
    matrix = similarity(landmarks, TEMPLATE * (rung / CHIP))
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if scale < 0.5:
        low, high = landmarks.min(0), landmarks.max(0)
        reach = float((high - low).max()) * 2.5
        x0, y0 = np.maximum((low - reach).astype(int), 0)
        x1, y1 = (high + reach).astype(int) + 1
        part = image[y0:y1, x0:x1]
        if part.size == 0:
            raise ValueError("landmarks lie outside the picture")
        width, height = max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale))
        factors = np.array([width / part.shape[1], height / part.shape[0]])
        image = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)
        moved = ((landmarks - (x0, y0) + 0.5) * factors - 0.5).astype(np.float32)
        matrix = similarity(moved, TEMPLATE * (rung / CHIP))
    chip = cv2.warpAffine(image, matrix, (rung, rung), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return chip.astype(np.uint8, copy=False)


def template_fit(landmarks: NDArray[np.float32]) -> float:
    """How badly landmarks (5, 2) fit a frontal face: their mean distance from the template, in eye distances."""
    matrix = similarity(landmarks, TEMPLATE)
    placed = landmarks @ matrix[:, :2].T + matrix[:, 2]
    return float(np.linalg.norm(placed - TEMPLATE, axis=1).mean()) / EYE_DISTANCE


def sharpness_of(chip: NDArray[np.uint8]) -> float:
    """Standard deviation of the Laplacian of a chip's grey levels."""
    return float(cv2.Laplacian(cv2.cvtColor(chip, cv2.COLOR_RGB2GRAY), cv2.CV_32F).std())


def check_chips(chips: NDArray[np.uint8], allowed: tuple[int, ...] = RUNGS) -> NDArray[np.uint8]:
    """Return ``chips`` if it is a non-empty uint8 (N, r, r, 3) with r in ``allowed``, else raise ValueError."""
    array = np.asarray(chips)
    ok = array.dtype == np.uint8 and array.ndim == 4 and array.shape[0] > 0 and array.shape[3] == 3
    if not ok or array.shape[1] != array.shape[2] or array.shape[1] not in allowed:
        raise ValueError(f"chips must be uint8 (N, r, r, 3) with N > 0 and r in {allowed}, got {array.dtype} {array.shape}")
    return array
