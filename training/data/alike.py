"""Whether two pictures show the same: collections draw on the same photos, coded, shrunk and mirrored anew.

What one collection is kept for measuring must not be trained on in another, and nothing is learned from a photo labelled twice.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 16
SAME = 26  # of the 256 bits that may differ

Print = NDArray[np.uint64]


def fingerprint(image: NDArray[np.uint8]) -> Print:
    """256 bits (4,) uint64 of a picture (H, W, 3) or (H, W): whether it grows brighter from each of 16×16 places to the right."""
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (SIDE + 1, SIDE), interpolation=cv2.INTER_AREA).astype(np.int16)
    return np.packbits(small[:, 1:] > small[:, :-1]).view(np.uint64)


class FingerprintSet:
    """The pictures that there have been, to be asked whether one is among them, as it is or in a mirror."""

    def __init__(self) -> None:
        self._prints = np.zeros((1024, 4), np.uint64)
        self._count = 0

    def add(self, print_: Print) -> None:
        if self._count == len(self._prints):
            self._prints = np.concatenate([self._prints, np.zeros_like(self._prints)])
        self._prints[self._count] = print_
        self._count += 1

    def has(self, *prints: Print) -> bool:
        """Whether any of the fingerprints is that of a picture that was added."""
        known = self._prints[: self._count]
        return any(bool((np.bitwise_count(known ^ each).sum(1) <= SAME).any()) for each in prints)
