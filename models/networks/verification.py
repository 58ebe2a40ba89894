"""Verification: a small network rescores each candidate of the detector from an image crop with its surroundings.

The detector scores every cell of a frame and must be cheap, so it can confuse an ear, a fist or a lock of hair with a small face.
A crop that also shows the head or arm resolves this. The detector can therefore use a low score threshold, which reduces missed
faces (a cascade, as in Viola and Jones 2001).
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.blocks import ResidualBlock, conv_bn_relu
from models.faces import Faces
from models.runtime.image_pyramid import ImagePyramid
from models.runtime.session import InferenceSession
from models.weights_io import load_network

VIEW_HEIGHT = 24  # height of the candidate's box in the network's input, in pixels
CANDIDATE_MIN_SCORE = 0.15  # smallest detector score of a candidate to verify
WEIGHT = 0.25  # of this network's logit relative to the detector's; best at 24 pixels and more, equal to 1 at 8
MAX_CANDIDATES = 300  # per frame, best first; the others keep the detector's score


class VerificationNet(nn.Module):
    """Network that classifies a candidate from its view, the detector's score and the face height.

    The weight of the detector's score depends on the height, because the detector's input has more detail of a large face than
    the view.

    Args:
        widths: channels after each halving of the view.
        depths: residual blocks at the last three of them.
        side: side of the view in pixels, a multiple of 16. A larger view covers more surroundings; the cost grows
            with its square.

    ``forward`` takes views float (N, 3, side, side) in [-1, 1], the detector's scores as logits (N,) and `octaves` (N,). It
    returns logits (N,) of being a face.
    """

    def __init__(
        self,
        widths: tuple[int, ...] = (24, 32, 64, 96),
        depths: tuple[int, ...] = (1, 2, 1),
        side: int = 64,
    ) -> None:
        super().__init__()
        self.side = side
        layers: list[nn.Module] = [conv_bn_relu(3, widths[0], stride=2)]
        for inputs, outputs, blocks in zip(widths, widths[1:], depths, strict=False):
            layers.append(conv_bn_relu(inputs, outputs, stride=2))
            layers += [ResidualBlock(outputs) for _ in range(blocks)]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear((side // 16) ** 2 * widths[-1] + 3, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.head.weight.data[0, -1] = 1.0  # an untrained network returns the detector's score

    def forward(self, x: Tensor, logits: Tensor, octaves: Tensor) -> Tensor:
        context = torch.stack([octaves, octaves * logits, logits], 1)
        out: Tensor = self.head(torch.cat([self.body(x).flatten(1), context], 1)).squeeze(1)
        return out


def candidate_views(frame: ImagePyramid, boxes: NDArray[np.float32], side: int) -> NDArray[np.uint8]:
    """Cut the network's view of each box.

    Args:
        frame: the RGB frame.
        boxes: float32 (N, 4) in pixels of the frame. Each becomes `VIEW_HEIGHT` pixels high in the middle of its view.
        side: side of a view in pixels.

    Returns:
        uint8 (N, side, side, 3). A large box is cut from a coarser pyramid level, to avoid aliasing.
    """
    cut = np.empty((len(boxes), side, side, 3), np.uint8)
    middle = (side - 1) / 2
    scales = VIEW_HEIGHT / np.maximum(1.0, boxes[:, 3] - boxes[:, 1])
    levels = np.maximum(0, -np.log2(scales)).astype(int)
    images = [frame.level(number) for number in range(levels.max(initial=0) + 1)]
    shrunk = np.array([image.shape[1::-1] for image in images])[levels] / images[0].shape[1::-1]
    factors = scales[:, None] / shrunk
    matrices = np.zeros((len(boxes), 2, 3))
    matrices[:, [0, 1], [0, 1]] = factors
    matrices[:, :, 2] = middle - factors * ((boxes.reshape(-1, 2, 2).mean(1) + 0.5) * shrunk - 0.5)
    for matrix, level, out in zip(matrices, levels.tolist(), cut, strict=True):
        cv2.warpAffine(images[level], matrix, (side, side), dst=out, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return cut


def octaves(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Heights of boxes (N, 4) as log2 of their ratio to `VIEW_HEIGHT`: float32 (N,), clipped to -2..4."""
    return np.asarray(np.log2(np.maximum(1.0, boxes[:, 3] - boxes[:, 1]) / VIEW_HEIGHT).clip(-2, 4), np.float32)


def to_logits(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Convert scores in 0..1 to logits float32; 0 and 1 give finite logits."""
    kept = scores.astype(np.float64).clip(1e-4, 1 - 1e-4)
    return np.asarray(np.log(kept / (1 - kept)), np.float32)


class Verifier:
    """Rescorer of a detector's candidates.

    The new score is the mean of the detector's logit and `WEIGHT` times the network's. A higher weight gives fewer false faces
    of 8 to 12 pixels and misses more profiles and wider faces.

    Args:
        device: where the network runs.
        weights: the network's ``.safetensors`` file.
    """

    def __init__(self, device: torch.device, weights: Path) -> None:
        net, card = load_network(VerificationNet, weights, "rescore")
        self._side = net.side
        self._net = InferenceSession(net, card, device)

    def verify(self, frame: ImagePyramid, faces: Faces) -> Faces:
        """Rescore the candidates of an RGB frame.

        Args:
            frame: the frame of the candidates.
            faces: the candidates, best first. The first `MAX_CANDIDATES` are verified.

        Returns:
            The candidates with new scores, best first, without nested duplicates.
        """
        if not len(faces):
            return faces
        best = faces[:MAX_CANDIDATES]
        own = to_logits(best.scores)
        judged = self._net(candidate_views(frame, best.boxes, self._side), own, octaves(best.boxes)).cpu().numpy()
        scores = faces.scores.copy()
        scores[:MAX_CANDIDATES] = 1 / (1 + np.exp(-(own + WEIGHT * judged) / (1 + WEIGHT)))
        return Faces(faces.boxes, faces.landmarks, scores)[np.argsort(-scores, kind="stable")].without_nested()
