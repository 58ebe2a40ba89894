"""Find near-duplicate images by a perceptual hash (difference hash).

Public collections share photos, re-encoded, resized and mirrored. This module keeps held-out photos out of training when another
collection contains them, and prevents labelling a photo twice.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 16  # the hash compares 16×16 pairs of neighbouring pixels
SAME = 26  # largest number of differing bits, of 256, between two versions of one picture

Print = NDArray[np.uint64]


def fingerprint(image: NDArray[np.uint8]) -> Print:
    """Compute the difference hash of an image.

    Args:
        image: uint8 (H, W, 3) RGB or (H, W) grey.

    Returns:
        uint64 (4,), 256 bits. The image is reduced to 17×16 pixels; a bit is set where a pixel is darker than its right
            neighbour.
    """
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (SIDE + 1, SIDE), interpolation=cv2.INTER_AREA).astype(np.int16)
    return np.packbits(small[:, 1:] > small[:, :-1]).view(np.uint64)


class FingerprintSet:
    """Set of image fingerprints that finds near-duplicates."""

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
        """Whether any of the given fingerprints (for example of an image and its mirror image) is close to an added one."""
        known = self._prints[: self._count]
        return any(bool((np.bitwise_count(known ^ each).sum(1) <= SAME).any()) for each in prints)
