"""Landmark refinement: a small network relocates the five landmarks in each face's aligned chip.

The detector predicts landmarks from maps whose cells are as large as the eye of a small face. Refinement in the enlarged chip
about halves the landmark error, and small faces are recognised only if they are well aligned.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.blocks import ResidualBlock, conv_bn_relu
from models.chip import CHIP, EYE_DISTANCE, TEMPLATE, eye_distance, similarity, warp_chip
from models.runtime.image_pyramid import ImagePyramid
from models.runtime.session import InferenceSession
from models.weights_io import WEIGHTS, load_network

SIDE = 48  # side of the network's input, in pixels
VIEW_SHARE = 0.875  # central share of the chip that the input covers
OUTPUT_UNIT = CHIP / 4  # chip pixels in one unit of the network's output
CROP_MARGIN = 2.5  # margin around the landmarks, in their extents; enough for the chip
MAX_SHIFT = 0.5  # eye distances; larger corrections are rejected


class LandmarkNet(nn.Module):
    """Locates the five landmarks in the centre of a chip. Untrained, it returns the template.

    Args:
        widths: channels at 24, 12, 6 and 3 pixels.

    ``forward`` takes float (N, 3, 48, 48) in [-1, 1] and returns (N, 5, 2) in `OUTPUT_UNIT` from the chip's centre.
    """

    def __init__(self, widths: tuple[int, ...] = (24, 48, 96, 128)) -> None:
        super().__init__()
        w24, w12, w6, w3 = widths
        self.body = nn.Sequential(
            conv_bn_relu(3, w24, stride=2),
            conv_bn_relu(w24, w12, stride=2),
            ResidualBlock(w12),
            conv_bn_relu(w12, w6, stride=2),
            ResidualBlock(w6),
            conv_bn_relu(w6, w3, stride=2),
        )
        self.head = nn.Linear(9 * w3, 10)
        nn.init.zeros_(self.head.weight)
        self.head.bias.data.copy_(torch.from_numpy(to_units(TEMPLATE)).flatten())

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.body(x).flatten(1)).view(-1, 5, 2)
        return out


def to_units(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Convert points (..., 2) from pixels of a 128 chip to the network's output units."""
    return ((points - (CHIP - 1) / 2) / OUTPUT_UNIT).astype(np.float32)


def landmark_view(chip: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The network's input uint8 (48, 48, 3): the centre of a chip (r, r, 3) of any side."""
    side = chip.shape[0]
    scale = SIDE / (VIEW_SHARE * side)
    away = (SIDE - 1) / 2 - scale * (side - 1) / 2
    if scale < 0.6:  # area-averaged first, to avoid aliasing
        return landmark_view(cv2.resize(chip, (side // 2, side // 2), interpolation=cv2.INTER_AREA).astype(np.uint8))
    matrix = np.array([[scale, 0, away], [0, scale, away]])
    return np.asarray(
        cv2.warpAffine(chip, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8
    )


def crop_and_halve(frame: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Cut a large face out of a frame and halve it until its chip would be at most twice `CHIP` wide.

    This is many times faster than area averaging in one step. For a smaller face, the whole frame is returned unchanged.

    Args:
        frame: uint8 (H, W, 3).
        landmarks: float32 (5, 2) in its pixels.

    Returns:
        The crop uint8 (h, w, 3), and the landmarks in its pixels.

    Raises:
        ValueError: as `similarity`.
    """
    side = eye_distance(landmarks) / EYE_DISTANCE * CHIP
    if side <= 2 * CHIP:
        return frame, landmarks
    low, high = landmarks.min(0), landmarks.max(0)
    margin = CROP_MARGIN * float((high - low).max())
    (left, top), (right, bottom) = np.maximum(low - margin, 0).astype(int), np.maximum(high + margin, 0).astype(int) + 1
    halvings = int(np.ceil(np.log2(side / (2 * CHIP))))
    points = (landmarks - (left, top) + 0.5) / 2**halvings - 0.5
    return ImagePyramid(frame[top:bottom, left:right]).level(halvings), points.astype(np.float32)


class LandmarkRefiner:
    """Refines a detector's landmarks with `LandmarkNet`, with the project's own weights.

    Args:
        device: where the network runs.
    """

    def __init__(self, device: torch.device) -> None:
        self._net = InferenceSession(*load_network(LandmarkNet, WEIGHTS / "landmarks.safetensors", "landmarks"), device)

    def refine(self, frame: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
        """Refine the landmarks of one frame's faces.

        Args:
            frame: uint8 (H, W, 3) RGB.
            landmarks: float32 (N, 5, 2) in its pixels.

        Returns:
            Refined landmarks (N, 5, 2). Those of degenerate faces, and those that would move beyond `MAX_SHIFT`, are unchanged.
        """
        views, transforms, rows = [], [], []
        for row, points in enumerate(landmarks):
            try:
                views.append(landmark_view(warp_chip(*crop_and_halve(frame, points))))
                transforms.append(similarity(points, TEMPLATE))
            except (ValueError, cv2.error):
                continue
            rows.append(row)
        if not rows:
            return landmarks
        located = self._net(np.stack(views)).cpu().numpy() * OUTPUT_UNIT + (CHIP - 1) / 2
        refined = landmarks.copy()
        for row, transform, points in zip(rows, transforms, located, strict=True):
            back = np.linalg.inv(transform[:, :2])
            # In the chip, the detector's landmarks have the template's mean, so the shift is measured from it.
            if np.linalg.norm((points - TEMPLATE).mean(0)) < MAX_SHIFT * EYE_DISTANCE:
                refined[row] = (points - transform[:, 2]) @ back.T
        return refined
