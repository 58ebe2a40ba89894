"""Find near-duplicates of pictures by a perceptual hash (difference hash).

Public collections share photos, re-encoded, resized and mirrored. A photo that is held out in one collection must not train
through another, and no photo is labelled twice.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 16  # the hash compares 16×16 pairs of neighbouring pixels
SAME = 26  # largest number of differing bits, of 256, between two versions of one picture

Print = NDArray[np.uint64]


def fingerprint(image: NDArray[np.uint8]) -> Print:
    """The difference hash of a picture.

    Args:
        image: uint8 (H, W, 3) RGB or (H, W) grey.

    Returns:
        uint64 (4,), 256 bits: whether each pixel of the picture at 17×16 pixels is darker than its right neighbour.
    """
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (SIDE + 1, SIDE), interpolation=cv2.INTER_AREA).astype(np.int16)
    return np.packbits(small[:, 1:] > small[:, :-1]).view(np.uint64)


class FingerprintSet:
    """Fingerprints of pictures, for the search of near-duplicates."""

    def __init__(self) -> None:
        self._prints = np.zeros((1024, 4), np.uint64)
        self._count = 0

    def add(self, print_: Print) -> None:
        """Add a fingerprint (4,)."""
        if self._count == len(self._prints):
            self._prints = np.concatenate([self._prints, np.zeros_like(self._prints)])
        self._prints[self._count] = print_
        self._count += 1

    def has(self, *prints: Print) -> bool:
        """Whether any of these fingerprints, such as those of a picture and its mirror image, is close to one that was added."""
        known = self._prints[: self._count]
        return any(bool((np.bitwise_count(known ^ each).sum(1) <= SAME).any()) for each in prints)
