"""Where exactly the five landmarks are: a small network that looks at each found face once more, aligned as it is.

A detector tells landmarks from maps whose cells are as large as a small face's eye. Cut out and enlarged, the same face shows
them to about half that error, and alignment decides how well a small face is recognised.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.blocks import ResidualBlock, conv_bn_relu
from models.chip import CHIP, EYE_DISTANCE, TEMPLATE, eye_distance, similarity, warp_chip
from models.runtime.image_pyramid import Halvings
from models.runtime.session import Quickest
from models.weights_io import WEIGHTS, load_network

SIDE = 48  # pixels of the network's view
SEEN = 0.875  # the centre of the chip that it sees
UNIT = CHIP / 4  # chip pixels to one unit of its output, from the chip's centre
AROUND = 2.5  # of the landmarks' spread that the chip may need around them
FURTHEST = 0.5  # eye distances; a face whose landmarks would move further keeps its own


class LandmarkNet(nn.Module):
    """``forward``: float (N, 3, 48, 48) in [-1, 1], the centre of chips -> landmarks (N, 5, 2) in `UNIT`s from the centre."""

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
    """Points of a 128 chip (..., 2) in the network's units."""
    return ((points - (CHIP - 1) / 2) / UNIT).astype(np.float32)


def landmark_view(chip: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The network's view (48, 48, 3) of a chip of any side."""
    side = chip.shape[0]
    scale = SIDE / (SEEN * side)
    away = (SIDE - 1) / 2 - scale * (side - 1) / 2
    if scale < 0.6:  # averaged down first, so that nothing aliases
        return landmark_view(cv2.resize(chip, (side // 2, side // 2), interpolation=cv2.INTER_AREA).astype(np.uint8))
    matrix = np.array([[scale, 0, away], [0, scale, away]])
    return np.asarray(
        cv2.warpAffine(chip, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8
    )


def halved(frame: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A face's surroundings in a frame (H, W, 3), and its landmarks (5, 2) there, halved until its chip would be no wider than
    twice `CHIP`: that is many times quicker than averaging down at once. Raises ValueError as `similarity` does."""
    side = eye_distance(landmarks) / EYE_DISTANCE * CHIP
    if side <= 2 * CHIP:
        return frame, landmarks
    low, high = landmarks.min(0), landmarks.max(0)
    reach = AROUND * float((high - low).max())
    (left, top), (right, bottom) = np.maximum(low - reach, 0).astype(int), np.maximum(high + reach, 0).astype(int) + 1
    times = int(np.ceil(np.log2(side / (2 * CHIP))))
    points = (landmarks - (left, top) + 0.5) / 2**times - 0.5
    return Halvings(frame[top:bottom, left:right]).at(times), points.astype(np.float32)


class LandmarkRefiner:
    """Moves a detector's landmarks to where a closer look finds them."""

    def __init__(self, device: torch.device) -> None:
        self._net = Quickest(*load_network(LandmarkNet, WEIGHTS / "landmarks.safetensors", "landmarks"), device)

    def refine(self, frame: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
        """Landmarks (N, 5, 2) of faces in an RGB frame (H, W, 3), refined; those of degenerate faces stay as they are."""
        views, ways, rows = [], [], []
        for row, points in enumerate(landmarks):
            try:
                views.append(landmark_view(warp_chip(*halved(frame, points))))
                ways.append(similarity(points, TEMPLATE))
            except (ValueError, cv2.error):
                continue
            rows.append(row)
        if not rows:
            return landmarks
        told = self._net(np.stack(views)).cpu().numpy() * UNIT + (CHIP - 1) / 2
        refined = landmarks.copy()
        for row, way, points in zip(rows, ways, told, strict=True):
            back = np.linalg.inv(way[:, :2])
            # In the chip the landmarks' mean lies on the template's, so what they move by can be told there.
            if np.linalg.norm((points - TEMPLATE).mean(0)) < FURTHEST * EYE_DISTANCE:
                refined[row] = (points - way[:, 2]) @ back.T
        return refined
