"""Whether it is a face: a small network that looks at each candidate of the detector once more, with what is around it.

A detector judges every cell of a frame at once and must be cheap: an ear, a fist or a lock of hair may look like a small face to
it, but not when seen at the size of a face, with the head or the arm that it belongs to. So the detector may offer many
candidates, and few faces are missed for want of a sure score (a cascade, as in Viola and Jones 2001).
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
from models.runtime.image_pyramid import Halvings
from models.runtime.session import Quickest
from models.weights_io import load_network

HEIGHT = 24  # pixels of the candidate's box in the network's view
CANDIDATE = 0.15  # the detector's own score of what is looked at
MOST = 300  # candidates a frame, best first: the others keep the score they have


class RescoreNet(nn.Module):
    """``forward``: float (N, 3, side, side) in [-1, 1], candidates 24 pixels high in the middle of their surroundings, the
    detector's own score of each as logits (N,), and `octaves` (N,) -> logits (N,) of being a face.

    ``side`` is a multiple of 16; each of ``widths`` halves it, the last three with that many residual blocks (``depths``). How
    far the detector is believed depends on the candidate's height: of a large one it saw more than is left in the view.
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
        self.head.weight.data[0, -1] = 1.0  # begins with the detector's own score

    def forward(self, x: Tensor, logits: Tensor, octaves: Tensor) -> Tensor:
        told = torch.stack([octaves, octaves * logits, logits], 1)
        return self.head(torch.cat([self.body(x).flatten(1), told], 1)).squeeze(1)


def views(frame: Halvings, boxes: NDArray[np.float32], side: int) -> NDArray[np.uint8]:
    """What a network sees of each box (N, 4) in a frame: (N, side, side, 3). A large box is seen in a halved frame, lest it
    alias."""
    seen = np.empty((len(boxes), side, side, 3), np.uint8)
    middle = (side - 1) / 2
    scales = HEIGHT / np.maximum(1.0, boxes[:, 3] - boxes[:, 1])
    levels = np.maximum(0, -np.log2(scales)).astype(int)
    halved = [frame.at(times) for times in range(levels.max(initial=0) + 1)]
    shrunk = np.array([n.shape[1::-1] for n in halved])[levels] / halved[0].shape[1::-1]
    factors = scales[:, None] / shrunk
    matrices = np.zeros((len(boxes), 2, 3))
    matrices[:, [0, 1], [0, 1]] = factors
    matrices[:, :, 2] = middle - factors * ((boxes.reshape(-1, 2, 2).mean(1) + 0.5) * shrunk - 0.5)
    for matrix, level, out in zip(matrices, levels.tolist(), seen, strict=True):
        cv2.warpAffine(halved[level], matrix, (side, side), dst=out, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return seen


def octaves(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """How many times the height of boxes (N, 4) in the frame must be halved to be that of the view: (N,), -2 to 4."""
    return np.log2(np.maximum(1.0, boxes[:, 3] - boxes[:, 1]) / HEIGHT).clip(-2, 4).astype(np.float32)


def to_logits(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits of scores in 0..1, finite."""
    kept = scores.astype(np.float64).clip(1e-4, 1 - 1e-4)
    return np.log(kept / (1 - kept)).astype(np.float32)


class Rescorer:
    """Gives a detector's candidates the mean, of logits, of its own score and of what a closer look at each finds: that one alone
    is too sure of what the detector doubts, like a coat or a hand."""

    def __init__(self, device: torch.device, weights: Path) -> None:
        net, card = load_network(RescoreNet, weights, "rescore")
        self._side = net.side
        self._net = Quickest(net, card, device)

    def rescore(self, frame: Halvings, faces: Faces) -> Faces:
        """Candidates of an RGB frame, best first, with their new scores, best first again and each face once."""
        if not len(faces):
            return faces
        best = faces[:MOST]
        own = to_logits(best.scores)
        closer = self._net(views(frame, best.boxes, self._side), own, octaves(best.boxes)).cpu().numpy()
        scores = faces.scores.copy()
        scores[:MOST] = 1 / (1 + np.exp(-(own + closer) / 2))
        return Faces(faces.boxes, faces.landmarks, scores)[np.argsort(-scores, kind="stable")].once()
