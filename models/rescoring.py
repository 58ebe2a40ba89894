"""Whether it is a face: a small network that looks at each candidate of the detector once more, with what is around it.

A detector judges every cell of a frame at once and must be cheap: an ear, a fist or a lock of hair may look like a small face to
it, but not when seen at the size of a face, with the head or the arm that it belongs to. So the detector may offer many
candidates, and few faces are missed for want of a sure score (a cascade, as in Viola and Jones 2001).
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.detector import Residual, conv
from models.faces import Faces
from models.runtime import as_input, ready
from models.weights_io import finite, shipped

SIDE = 48  # pixels of the network's view
MIDDLE = (SIDE - 1) / 2
ROOM = 2.0  # side of the view in heights of the candidate's box
CANDIDATE = 0.15  # the detector's own score of what is looked at
MOST = 300  # candidates a frame, best first: the others keep the score they have


class RescoreNet(nn.Module):
    """``forward``: float (N, 3, 48, 48) in [-1, 1], candidates in the middle of their surroundings, and the detector's own score
    of each as logits (N,) -> logits (N,) of being a face."""

    def __init__(self, widths: tuple[int, ...] = (16, 32, 64, 96)) -> None:
        super().__init__()
        w24, w12, w6, w3 = widths
        self.body = nn.Sequential(
            conv(3, w24, stride=2),
            conv(w24, w12, stride=2),
            Residual(w12),
            conv(w12, w6, stride=2),
            Residual(w6),
            conv(w6, w3, stride=2),
        )
        self.head = nn.Linear(9 * w3 + 1, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.head.weight.data[0, -1] = 1.0  # begins with the detector's own score

    def forward(self, x: Tensor, logits: Tensor) -> Tensor:
        return self.head(torch.cat([self.body(x).flatten(1), logits[:, None]], 1)).squeeze(1)


def views(frame: NDArray[np.uint8], boxes: NDArray[np.float32]) -> NDArray[np.uint8]:
    """What the network sees of each box (N, 4) in a frame (H, W, 3): (N, 48, 48, 3)."""
    halved = [frame]  # again and again, so that a large box does not alias
    seen = np.empty((len(boxes), SIDE, SIDE, 3), np.uint8)
    scales = SIDE / (ROOM * np.maximum(1.0, boxes[:, 3] - boxes[:, 1]))
    centres = boxes.reshape(-1, 2, 2).mean(1) + 0.5
    for scale, centre, out in zip(scales.tolist(), centres.tolist(), seen, strict=True):
        level = max(0, int(-math.log2(scale)))
        while len(halved) <= level:
            height, width = (max(1, n // 2) for n in halved[-1].shape[:2])
            halved.append(cv2.resize(halved[-1], (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8))
        (across, x), (down, y) = (
            (n / m, c * n / m - 0.5) for n, m, c in zip(halved[level].shape[1::-1], frame.shape[1::-1], centre, strict=True)
        )
        matrix = np.array([[scale / across, 0, MIDDLE - scale / across * x], [0, scale / down, MIDDLE - scale / down * y]])
        cv2.warpAffine(halved[level], matrix, (SIDE, SIDE), dst=out, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return seen


def to_logits(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits of scores in 0..1, finite."""
    kept = scores.astype(np.float64).clip(1e-4, 1 - 1e-4)
    return np.log(kept / (1 - kept)).astype(np.float32)


class Rescorer:
    """Gives a detector's candidates the score that a closer look at each finds."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._net, self._dtype = ready(shipped(RescoreNet, "rescore"), device)

    @torch.inference_mode()
    def rescore(self, frame: NDArray[np.uint8], faces: Faces) -> Faces:
        """Candidates of an RGB frame (H, W, 3), best first, with their new scores, best first again and each face once."""
        if not len(faces):
            return faces
        x = as_input(views(frame, faces.boxes[:MOST]), self._device, self._dtype)
        logits = torch.from_numpy(to_logits(faces.scores[:MOST])).to(self._device, self._dtype)
        scores = faces.scores.copy()
        scores[:MOST] = finite(self._net(x, logits).float()).sigmoid().cpu().numpy()
        return Faces(faces.boxes, faces.landmarks, scores)[np.argsort(-scores, kind="stable")].once()
