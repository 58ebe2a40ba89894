"""Training batches for the detector: random windows, augmentation and target assignment, all on the device.

The pool's pictures are kept on the device as uint8 (0.3 MB each), so that the CPU is not the bottleneck. A batch contains a
random
window of each drawn picture, mirrored with probability 0.5, with random exposure, colour and noise. Faces whose centre is outside
the
window are ignored. Each step has its own random generator, so a resumed run draws the same batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.blocks import HALF_RANGE
from models.networks.detector import STRIDES
from training.data.scenes import MIRROR, SURE, UNSURE, Scene
from training.detector.scene_maker import LEAST_WIDTH

WINDOW = 288  # side of the window in pixels
SIZES = ((0.0, 26.0), (20.0, 68.0), (52.0, 1e9))  # face widths in pixels that each stride is responsible for
AT_ONCE = 1000  # pictures copied to the device at once
MOST_FACES = 200  # largest number of faces used per picture; the widest are kept
GAIN, OFFSET, COLOUR = (0.8, 1.2), (-20.0, 20.0), 0.06  # range of exposure factor, of offset in grey levels; colour deviation
NOISY, NOISE = 0.3, 6.0  # share of pictures with noise, and its largest standard deviation in grey levels
GREY = 0.1  # share of grey pictures


@dataclass(frozen=True)
class Batch:
    """One training batch.

    Attributes:
        x: float32 (N, 3, side, side) in [-1, 1].
        owners: for each stride int64 (N, cells, cells): row of the face in ``boxes`` and ``landmarks``, -1 for background, -2
            for ignored cells.
        boxes: float32 (M, 4), x1 y1 x2 y2 in pixels of the window.
        landmarks: float32 (M, 5, 2) in pixels of the window.
    """

    x: Tensor
    owners: list[Tensor]
    boxes: Tensor
    landmarks: Tensor


class SceneBatches:
    """Draw training batches from a pool of square pictures in device memory."""

    def __init__(self, images: NDArray[np.uint8], pool: Sequence[Scene], device: str, window: int = WINDOW) -> None:
        """Copy a pool to the device.

        Args:
            images: uint8 (N, side, side, 3) RGB. On a CPU the array, for example a memory-mapped one, is not copied.
            pool: labels of the pictures.
            device: ``cpu`` or ``cuda``.
            window: side of the windows in pixels.
        """
        self.device, self.window, (count, self.side) = device, window, images.shape[:2]
        if device == "cpu":
            self.images = torch.from_numpy(images)
        else:
            self.images = torch.empty(images.shape, dtype=torch.uint8, device=device)
            for first in range(0, count, AT_ONCE):
                several = np.ascontiguousarray(images[first : first + AT_ONCE])
                self.images[first : first + AT_ONCE] = torch.from_numpy(several).to(device)
        most = max(1, min(MOST_FACES, max(len(scene.scores) for scene in pool)))
        boxes = np.zeros((count, most, 4), np.float32)
        landmarks, scores = np.zeros((count, most, 5, 2), np.float32), np.full((count, most), -1, np.float32)
        for row, scene in enumerate(pool):
            widest = np.argsort(scene.boxes[:, 0] - scene.boxes[:, 2])[:most]
            boxes[row, : len(widest)] = scene.boxes[widest]
            landmarks[row, : len(widest)] = scene.landmarks[widest]
            scores[row, : len(widest)] = scene.scores[widest]
        self.boxes, self.landmarks, self.scores = (torch.from_numpy(v).to(device) for v in (boxes, landmarks, scores))

    def draw(self, rng: np.random.Generator, count: int) -> Batch:
        """Draw a batch of ``count`` windows."""
        rows = torch.from_numpy(rng.integers(0, len(self.images), count)).to(self.device)
        corners = torch.from_numpy(rng.integers(0, self.side - self.window + 1, (count, 2))).to(self.device)
        mirrored = torch.from_numpy(rng.random(count) < 0.5).to(self.device)
        shown = self._windows(rows, corners, mirrored).permute(0, 3, 1, 2)
        boxes, landmarks, scores = self._seen(rows, corners, mirrored)
        return Batch(self._varied(shown, rng), assign(boxes, scores, self.window), boxes.flatten(0, 1), landmarks.flatten(0, 1))

    def _windows(self, rows: Tensor, corners: Tensor, mirrored: Tensor) -> Tensor:
        """Crop the windows; returns uint8 (N, window, window, 3)."""
        side = self.window
        if self.device == "cpu":  # slices, because gathering single pixels takes as long as a training step
            places = zip(rows.tolist(), corners.tolist(), mirrored.tolist(), strict=True)
            pieces = ((self.images[row, y : y + side, x : x + side].numpy(), turned) for row, (x, y), turned in places)
            return torch.from_numpy(np.stack([cv2.flip(piece, 1) if turned else piece for piece, turned in pieces]))
        steps = torch.arange(side, device=self.device)
        across = corners[:, :1] + torch.where(mirrored[:, None], side - 1 - steps, steps)
        down = corners[:, 1:] + steps
        return self.images[rows[:, None, None], down[:, :, None], across[:, None, :]]

    def _seen(self, rows: Tensor, corners: Tensor, mirrored: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Labels in window pixels: boxes (N, K, 4), landmarks (N, K, 5, 2) and scores (N, K); score -1 marks padding rows."""
        corner = corners.float()[:, None]
        boxes, landmarks = self.boxes[rows] - corner.repeat(1, 1, 2), self.landmarks[rows] - corner[:, :, None]
        turned = torch.stack([self.window - boxes[..., 2], boxes[..., 1], self.window - boxes[..., 0], boxes[..., 3]], -1)
        marks = landmarks[:, :, MIRROR]
        marks = torch.stack([self.window - marks[..., 0], marks[..., 1]], -1)
        boxes = torch.where(mirrored[:, None, None], turned, boxes)
        landmarks = torch.where(mirrored[:, None, None, None], marks, landmarks)
        middle = boxes.unflatten(-1, (2, 2)).mean(-2)
        whole = ((middle > 0) & (middle < self.window)).all(-1)
        out = (boxes[..., 2:] <= 0).any(-1) | (boxes[..., :2] >= self.window).any(-1)
        scores = self.scores[rows]
        scores = torch.where(whole, scores, scores.clamp(max=UNSURE))
        return boxes, landmarks, scores.masked_fill(out, -1)

    def _varied(self, shown: Tensor, rng: np.random.Generator) -> Tensor:
        """Augment pixels uint8 (N, 3, side, side) with random exposure, colour and noise; returns float32 in [-1, 1]."""
        count = len(shown)

        def drawn(low: float, high: float, *shape: int) -> Tensor:
            return torch.from_numpy(rng.uniform(low, high, (count, *(shape or (1, 1, 1)))).astype(np.float32)).to(self.device)

        grey = torch.from_numpy(rng.random((count, 1, 1, 1)) < GREY).to(self.device)
        scale = torch.where(grey, 1.0, drawn(1 - COLOUR, 1 + COLOUR, 3, 1, 1)) * drawn(*GAIN)
        offset, noisy = drawn(*OFFSET), drawn(0, 1) < NOISY
        level = drawn(0, NOISE) * noisy
        generator = torch.Generator(self.device).manual_seed(int(rng.integers(1 << 62)))
        at_once = 1 if self.device == "cpu" else count  # a single picture stays in the cache of the core
        inputs = (shown, grey, scale, offset, level)
        return torch.cat([_exposed(*part, generator) for part in zip(*(each.split(at_once) for each in inputs), strict=True)])


def _exposed(shown: Tensor, grey: Tensor, scale: Tensor, offset: Tensor, level: Tensor, generator: torch.Generator) -> Tensor:
    """Apply grey, scale, offset and noise to pixels uint8 (N, 3, side, side); returns float32 in [-1, 1]."""
    x = shown.float()
    if grey.any():
        x = torch.where(grey, x.mean(1, keepdim=True), x)
    x = x.mul(scale / HALF_RANGE).add_(offset / HALF_RANGE - 1)
    if level.any():
        x += torch.randn(x.shape, generator=generator, device=x.device).mul_(level / HALF_RANGE)
    return x.clamp_(-1, 1).contiguous(memory_format=torch.channels_last)


def assign(boxes: Tensor, scores: Tensor, side: int) -> list[Tensor]:
    """Assign faces to cells.

    A cell is assigned the narrowest face whose width is in the stride's range (`SIZES`) and whose centre is within one stride of
    the cell's centre. Cells on doubtful or too small faces, and around the centres of faces of another stride, are ignored.

    Args:
        boxes: float32 (N, K, 4) in pixels.
        scores: float32 (N, K); negative for padding rows without a face.
        side: side of the windows in pixels.

    Returns:
        For each stride int64 (N, cells, cells): index of the face among all N·K, -1 for background, -2 for ignored.
    """
    count, most = scores.shape
    at_once = 1 if scores.device.type == "cpu" else count  # so that one crowded picture does not widen the others' arrays
    parts = [_assigned(*part, side) for part in zip(boxes.split(at_once), scores.split(at_once), strict=True)]
    first = torch.arange(count, device=boxes.device)[:, None, None] * most
    return [torch.where(owner < 0, owner, owner + first) for owner in map(torch.cat, zip(*parts, strict=True))]


def _assigned(boxes: Tensor, scores: Tensor, side: int) -> list[Tensor]:
    """Like `assign`, with face indices per picture."""
    widths = boxes[..., 2] - boxes[..., 0]
    order = (widths + (scores < 0) * 1e6).argsort(1)  # the narrowest first
    order = order[:, : max(1, int((scores >= 0).sum(1).max()))]
    boxes, scores, widths = boxes.gather(1, order[..., None].expand(-1, -1, 4)), scores.gather(1, order), widths.gather(1, order)
    faces = scores >= 0
    sure = faces & (scores >= SURE) & (widths >= LEAST_WIDTH)
    unsure = faces & ~sure
    centres = boxes.unflatten(-1, (2, 2)).mean(-2)
    most = order.shape[1]
    rank = torch.arange(most, 0, -1, device=boxes.device, dtype=torch.int16)
    maps = []
    for stride, (low, high) in zip(STRIDES, SIZES, strict=True):
        cells = side // stride
        grid = torch.arange(cells, device=boxes.device) * stride + (stride - 1) / 2
        near_x, near_y = ((grid - centres[..., axis, None]).abs() <= stride for axis in (0, 1))
        own = sure & (widths >= low) & (widths < high)
        owned = (near_y & own[..., None])[..., None] & near_x[:, :, None]
        best = (owned * rank[:, None, None]).amax(1)
        within_x = (grid >= boxes[..., 0, None]) & (grid <= boxes[..., 2, None]) & unsure[..., None]
        within_y = (grid >= boxes[..., 1, None]) & (grid <= boxes[..., 3, None])
        ignored = covered(within_y, within_x) | covered(near_y, near_x & (faces & ~own)[..., None])
        owner = order.gather(1, (most - best.long().clamp(min=1)).flatten(1)).view_as(best)
        maps.append(torch.where(best > 0, owner, torch.where(ignored, -2, -1)))
    return maps


def covered(rows: Tensor, columns: Tensor) -> Tensor:
    """Mask bool (N, h, w) of the cells in any of K rectangles, given by row masks (N, K, h) and column masks (N, K, w)."""
    return torch.bmm(rows.float().mT, columns.float()) > 0
