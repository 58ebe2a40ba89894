"""Metrics, each as the literature defines it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from training.common.ssim import ssim as structural_similarity

Float = NDArray[np.floating]


def verification_accuracy(scores: Float, same: NDArray[np.bool_], fold: NDArray[np.integer]) -> float:
    """Accuracy 0..1 by the LFW protocol: each fold at the best threshold of the other folds, averaged.

    Args:
        scores: similarity (P,) of each pair.
        same: bool (P,), whether the pair shows one person.
        fold: int (P,), fold of each pair.
    """
    found = []
    for held in np.unique(fold):
        others = fold != held
        order = np.sort(scores[others])
        candidates = order[:: max(1, len(order) // 2000)]
        right = [((scores[others] >= t) == same[others]).mean() for t in candidates]
        threshold = candidates[int(np.argmax(right))]
        found.append(((scores[~others] >= threshold) == same[~others]).mean())
    return float(np.mean(found))


def threshold_at_rate(share: float, scores: Float) -> float:
    """The lowest threshold that at most a ``share`` 0..1 of impostor ``scores`` (N,) exceeds."""
    return float(np.sort(scores)[::-1][min(int(share * len(scores)), len(scores) - 1)])


def tar_at_far(scores: Float, same: NDArray[np.bool_], far: float) -> float:
    """True accept rate 0..1 at a false accept rate.

    Args:
        scores: similarity (P,) of each pair.
        same: bool (P,), whether the pair shows one person.
        far: share 0..1 of impostor pairs that may exceed the threshold. Lower: a higher threshold and a lower TAR.
    """
    return float((scores[same] > threshold_at_rate(far, scores[~same])).mean())


def luma(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """BT.601 luma (H, W) in 16..235 of an RGB image (H, W, 3), as super-resolution papers compute Y."""
    r, g, b = (image[..., i].astype(np.float64) for i in range(3))
    return 16 + (65.481 * r + 128.553 * g + 24.966 * b) / 255


def psnr(a: Float, b: Float) -> float:
    """PSNR in dB of two images in 0..255 without cropping; 99 if they are equal."""
    error = float(((a - b) ** 2).mean())
    return 99.0 if error == 0 else float(10 * np.log10(255**2 / error))


def ssim(a: Float, b: Float) -> float:
    """SSIM of two single-channel images (H, W) in 0..255, by `training.common.ssim` in float64."""
    left, right = (torch.from_numpy(np.asarray(x, np.float64) / 255)[None, None] for x in (a, b))
    return float(structural_similarity(left, right))


def rank_one(scores: Float) -> float:
    """Rank-1 rate 0..1: the share of probes whose own person has the highest score.

    Args:
        scores: (P, P), row i a probe of enrolled person i.
    """
    return float((scores.argmax(1) == np.arange(len(scores))).mean())


def fnir_at_fpir(known: Float, unknown: Float, fpir: float) -> float:
    """False negative identification rate 0..1 (NIST FRTE 1:N), with one enrolled template per person.

    The threshold is the lowest that the best scores of at most a share ``fpir`` of the strangers exceed. A probe is a miss if its
    mate is not at rank one or not above the threshold.

    Args:
        known: scores (P, P), row i a probe whose mate is column i.
        unknown: scores (U, P) of strangers.
        fpir: allowed FPIR, 0..1. Lower: a higher threshold and more misses.
    """
    threshold = threshold_at_rate(fpir, unknown.max(1))
    own = known[np.arange(len(known)), np.arange(len(known))]
    return float(1 - ((known.argmax(1) == np.arange(len(known))) & (own > threshold)).mean())


def average_precision(scores: Float, right: NDArray[np.bool_], faces: int) -> float:
    """AP 0..1: area under the precision-recall curve, all points, with monotone precision.

    Args:
        scores: (N,) of detections.
        right: bool (N,), whether a detection matches a face.
        faces: number of faces.
    """
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(right[order])
    precision = hits / np.arange(1, len(hits) + 1)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    return float((best_from_here * right[order]).sum() / max(1, faces))
