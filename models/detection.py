"""The small-face detector as the pipeline uses it: frames in, faces out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from models.faces import Faces, as_rgb
from models.networks.detector import OUTPUTS, STRIDES, DetectorNet, decode_cells, fed_bytes
from models.networks.landmarks import LandmarkRefiner
from models.networks.verification import CANDIDATE, Rescorer
from models.runtime.devices import pick_device, ready
from models.runtime.fused import packed
from models.runtime.image_pyramid import Halvings
from models.runtime.int8 import as_map, if_it_pays
from models.weights_io import WEIGHTS, finite, load_network

MULTIPLE = 32
LEAST_WIDTH = 64  # pixels: oneDNN on AMX is wrong where a strided convolution leaves a single column
GREY = 127
NEAR = 4  # times smaller (twice halved), that every frame is searched too
NEAR_PX = 96  # width from which on a face found so counts: smaller ones are found better at the frame's own size
LEAST_SIDE = 560  # pixels of a frame that has room for faces beyond the network: a third higher than wide
MOST_CELLS = 10_000  # kept of a frame before suppression: a dozen find each face, and crowds have hundreds


class SmallFaceDetector:
    """Runs `DetectorNet` at the frame's own size, and at a quarter of it for faces nearer than the network knows (it finds
    none wider than 400 pixels or so); frames of equal size go through in one batch.

    Each candidate is looked at once more (`models.networks.verification`) by the network made for this one's, which lies beside
    its file,
    else by the shipped one, and landmarks once more in each face's chip (`models.networks.landmarks`), unless ``again`` is False.
    ``int8`` is whether it computes in 8 bits (`models.runtime.int8`).
    """

    def __init__(self, weights: Path, device: str, min_score: float, again: bool = True) -> None:
        net, card = load_network(DetectorNet, weights, "detector")
        self._device = pick_device(device)
        whole = if_it_pays(net, card, self._device)
        self.int8 = whole is not None
        if whole is not None:
            self._around, self._net = 0, whole
        else:
            net, self._dtype = ready(net, self._device)
            self._around, self._net = net.around, packed(fed_bytes(net))
        self._min_score = min_score
        beside = weights.with_name(weights.name.replace("detector", "rescore"))
        second = beside if beside != weights and beside.is_file() else WEIGHTS / "rescore.safetensors"
        self._rescorer = Rescorer(self._device, second) if again else None
        self._refiner = LandmarkRefiner(self._device) if again else None

    def detect(self, frames: Sequence[NDArray[np.uint8]]) -> list[Faces]:
        """Faces of each frame (uint8 (H, W, 3) RGB, or (H, W) grey). Raises ValueError for anything else."""
        pictures = [Halvings(as_rgb(frame)) for frame in frames]
        least = CANDIDATE if self._rescorer else self._min_score
        found = []
        for picture, faces in zip(pictures, self._candidates(pictures, least), strict=True):
            if self._rescorer:
                faces = self._rescorer.rescore(picture, faces)
            faces = faces[faces.scores >= self._min_score]
            landmarks = self._refiner.refine(picture.at(0), faces.landmarks) if self._refiner else faces.landmarks
            found.append(Faces(faces.boxes, landmarks, faces.scores))
        return found

    def candidates(self, pictures: Sequence[NDArray[np.uint8]], least: float = CANDIDATE) -> list[Faces]:
        """What the detector itself takes for faces, from a score of ``least`` on, in each picture (H, W, 3)."""
        return self._candidates([Halvings(picture) for picture in pictures], least)

    def _candidates(self, pictures: Sequence[Halvings], least: float) -> list[Faces]:
        found = self._at_one_size([picture.at(0) for picture in pictures], least)
        large = [place for place, picture in enumerate(pictures) if min(picture.at(0).shape[:2]) >= LEAST_SIDE]
        smaller = [pictures[place].at(2) for place in large]
        for place, faces in zip(large, self._at_one_size(smaller, least), strict=True):
            near = faces.scaled(NEAR)
            near = near[near.boxes[:, 2] - near.boxes[:, 0] >= NEAR_PX]
            if len(near):
                found[place] = Faces.join([found[place], near]).suppressed()
        return found

    def _at_one_size(self, pictures: Sequence[NDArray[np.uint8]], least: float) -> list[Faces]:
        found = [Faces.none()] * len(pictures)
        by_size: dict[tuple[int, ...], list[int]] = {}
        for place, picture in enumerate(pictures):
            by_size.setdefault(picture.shape, []).append(place)
        for places in by_size.values():
            for place, faces in zip(places, self._batch([pictures[p] for p in places], least), strict=True):
                found[place] = faces
        return found

    @torch.inference_mode()
    def _batch(self, pictures: list[NDArray[np.uint8]], least: float) -> list[Faces]:
        height, width = pictures[0].shape[:2]
        edge = self._around
        below, right = edge + -height % MULTIPLE, edge + max(-width % MULTIPLE, LEAST_WIDTH - width)
        shape = len(pictures), edge + height + below, edge + width + right, 3
        padded = torch.empty(shape, dtype=torch.uint8, pin_memory=self._device.type == "cuda")
        for picture, into in zip(pictures, padded.numpy(), strict=True):
            cv2.copyMakeBorder(picture, edge, below, edge, right, cv2.BORDER_CONSTANT, into, (GREY, GREY, GREY))
        x = padded.to(self._device, non_blocking=True)
        outputs = self._net.cells(as_map(x) if self.int8 else x.permute(0, 3, 1, 2).to(self._dtype))
        return _read(outputs, height, width, float(np.log(least / (1 - least))))


def _read(maps: list[torch.Tensor], height: int, width: int, least: float) -> list[Faces]:
    """Faces of each frame from a batch's maps as `DetectorNet.cells` gives them, from a score logit of ``least`` on."""
    parts = []
    for values, stride in zip(maps, STRIDES, strict=True):
        inside = values.shape[1] // OUTPUTS  # cells of this stride in one of the map, 1 or 4
        frames, which, rows, columns = torch.nonzero(values[:, :inside] > least, as_tuple=True)
        channels = which[:, None] + torch.arange(0, values.shape[1], inside, device=values.device)
        cells = finite(values[frames[:, None], channels, rows[:, None], columns[:, None]].float())
        side = 1 if inside == 1 else 2
        places = torch.stack([columns * side + which % side, rows * side + which // side], 1)
        centres = places * float(stride) + (stride - 1) / 2
        boxes, landmarks = decode_cells(cells[:, 1:], centres, stride)
        parts.append(torch.cat([frames[:, None].float(), cells[:, :1].sigmoid(), boxes, landmarks.flatten(1)], 1))
    told = torch.cat(parts).cpu().numpy()
    return [_faces(told[told[:, 0] == frame, 1:], height, width) for frame in range(len(maps[0]))]


def _faces(told: NDArray[np.float32], height: int, width: int) -> Faces:
    """Faces of a frame, each once, from scores, boxes and landmarks (M, 15) of its cells."""
    if len(told) > MOST_CELLS:
        told = told[np.argsort(-told[:, 0])[:MOST_CELLS]]
    faces = Faces(told[:, 1:5], told[:, 5:].reshape(-1, 5, 2), told[:, 0]).suppressed()
    boxes = faces.boxes.clip(0, np.array([width, height, width, height], np.float32))
    return Faces(boxes, faces.landmarks, faces.scores)[(boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])]
