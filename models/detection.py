"""Run the small-face detector, verification and landmark refinement on whole frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from models.faces import Faces, as_rgb
from models.networks.detector import OUTPUTS, STRIDES, DetectorNet, accept_uint8, decode_cells
from models.networks.landmarks import LandmarkRefiner
from models.networks.verification import CANDIDATE_MIN_SCORE, Verifier
from models.runtime.devices import pick_device, prepare_for_inference
from models.runtime.fused import fuse_convolutions
from models.runtime.image_pyramid import ImagePyramid
from models.runtime.int8 import quantize_images, to_int8_where_faster
from models.weights_io import WEIGHTS, finite_or_zero, load_network

MULTIPLE = 32  # the sides of the network's input are multiples of this
MIN_WIDTH = 64  # of the network's input, in pixels: oneDNN on AMX is wrong where a strided convolution leaves a single column
GREY = 127  # grey level of the padding
COARSE_LEVEL = 2  # pyramid level (quarter size) at which large frames are searched in addition
MIN_COARSE_FACE_PX = 96  # smallest face width in frame pixels kept from the quarter size
MIN_COARSE_FRAME_SIDE = 560  # pixels; in a smaller frame no face is too large for the full-size pass
MAX_CELLS = 10_000  # cells per frame before NMS: a dozen cells detect each face, and crowds have hundreds of faces


class SmallFaceDetector:
    """Face detector that runs `DetectorNet` at full size, and at quarter size for large faces.

    The network finds no face wider than about 400 pixels; the quarter-size pass finds those. Frames of equal size run as one
    batch.
    Each candidate is verified (`models.networks.verification`) and its landmarks are refined (`models.networks.landmarks`).

    Args:
        weights: the detector's ``.safetensors`` file. A verification network in the same folder, named with ``rescore`` in place
            of ``detector``, is used with it; if there is none, the shipped one is used.
        device: ``cpu``, ``cuda`` or ``auto``.
        min_score: smallest score, 0..1. A lower value finds more faces and more false detections.
        verify: whether candidates are verified and landmarks refined. False is faster and less accurate.

    Attributes:
        int8: whether it computes in int8 (`models.runtime.int8`).
    """

    def __init__(self, weights: Path, device: str, min_score: float, verify: bool = True) -> None:
        net, card = load_network(DetectorNet, weights, "detector")
        self._device = pick_device(device)
        quantized = to_int8_where_faster(net, card, self._device)
        self.int8 = quantized is not None
        if quantized is not None:
            self._padding = 0
            self._net: Any = quantized
        else:
            _, self._dtype = prepare_for_inference(net, self._device)
            self._padding, self._net = net.stem_padding, fuse_convolutions(accept_uint8(net))
        self._min_score = min_score
        companion = weights.with_name(weights.name.replace("detector", "rescore"))
        verifier = companion if companion != weights and companion.is_file() else WEIGHTS / "rescore.safetensors"
        self._verifier = Verifier(self._device, verifier) if verify else None
        self._refiner = LandmarkRefiner(self._device) if verify else None

    def detect(self, frames: Sequence[NDArray[np.uint8]]) -> list[Faces]:
        """Find the faces of each frame.

        Args:
            frames: uint8 (H, W, 3) RGB or (H, W) grey, of any sizes.

        Returns:
            One `Faces` for each frame.

        Raises:
            ValueError: for a frame of another shape or dtype.
        """
        pyramids = [ImagePyramid(as_rgb(frame)) for frame in frames]
        least = CANDIDATE_MIN_SCORE if self._verifier else self._min_score
        results = []
        for pyramid, faces in zip(pyramids, self._candidates(pyramids, least), strict=True):
            if self._verifier:
                faces = self._verifier.verify(pyramid, faces)
            faces = faces[faces.scores >= self._min_score]
            landmarks = self._refiner.refine(pyramid.level(0), faces.landmarks) if self._refiner else faces.landmarks
            results.append(Faces(faces.boxes, landmarks, faces.scores))
        return results

    def candidates(self, frames: Sequence[NDArray[np.uint8]], min_score: float = CANDIDATE_MIN_SCORE) -> list[Faces]:
        """The network's own detections in each frame (H, W, 3), before verification and refinement.

        Args:
            frames: uint8 (H, W, 3) RGB.
            min_score: smallest score of the network, 0..1, before verification.
        """
        return self._candidates([ImagePyramid(frame) for frame in frames], min_score)

    def _candidates(self, pyramids: Sequence[ImagePyramid], min_score: float) -> list[Faces]:
        results = self._at_one_level([pyramid.level(0) for pyramid in pyramids], min_score)
        large = [place for place, pyramid in enumerate(pyramids) if min(pyramid.level(0).shape[:2]) >= MIN_COARSE_FRAME_SIDE]
        coarse = [pyramids[place].level(COARSE_LEVEL) for place in large]
        for place, faces in zip(large, self._at_one_level(coarse, min_score), strict=True):
            near = faces.scaled(2**COARSE_LEVEL)
            near = near[near.boxes[:, 2] - near.boxes[:, 0] >= MIN_COARSE_FACE_PX]
            if len(near):
                results[place] = Faces.merge([results[place], near]).with_nms()
        return results

    def _at_one_level(self, images: Sequence[NDArray[np.uint8]], min_score: float) -> list[Faces]:
        results = [Faces.empty()] * len(images)
        by_size: dict[tuple[int, ...], list[int]] = {}
        for place, image in enumerate(images):
            by_size.setdefault(image.shape, []).append(place)
        for places in by_size.values():
            for place, faces in zip(places, self._batch([images[p] for p in places], min_score), strict=True):
                results[place] = faces
        return results

    @torch.inference_mode()
    def _batch(self, images: list[NDArray[np.uint8]], min_score: float) -> list[Faces]:
        height, width = images[0].shape[:2]
        edge = self._padding
        below, right = edge + -height % MULTIPLE, edge + max(-width % MULTIPLE, MIN_WIDTH - width)
        shape = len(images), edge + height + below, edge + width + right, 3
        padded = torch.empty(shape, dtype=torch.uint8, pin_memory=self._device.type == "cuda")
        for image, into in zip(images, padded.numpy(), strict=True):
            cv2.copyMakeBorder(image, edge, below, edge, right, cv2.BORDER_CONSTANT, into, (GREY, GREY, GREY))
        x = padded.to(self._device, non_blocking=True)
        outputs = self._net.folded_maps(quantize_images(x) if self.int8 else x.permute(0, 3, 1, 2).to(self._dtype))
        return _decode(outputs, height, width, float(np.log(min_score / (1 - min_score))))


def _decode(maps: list[torch.Tensor], height: int, width: int, min_logit: float) -> list[Faces]:
    """Faces of each frame of a batch, from the maps of `DetectorNet.folded_maps`, with score logits above ``min_logit``."""
    parts = []
    for values, stride in zip(maps, STRIDES, strict=True):
        inside = values.shape[1] // OUTPUTS  # cells of this stride in one cell of the map, 1 or 4
        frames, which, rows, columns = torch.nonzero(values[:, :inside] > min_logit, as_tuple=True)
        channels = which[:, None] + torch.arange(0, values.shape[1], inside, device=values.device)
        cells = finite_or_zero(values[frames[:, None], channels, rows[:, None], columns[:, None]].float())
        side = 1 if inside == 1 else 2
        places = torch.stack([columns * side + which % side, rows * side + which // side], 1)
        centres = places * float(stride) + (stride - 1) / 2
        boxes, landmarks = decode_cells(cells[:, 1:], centres, stride)
        parts.append(torch.cat([frames[:, None].float(), cells[:, :1].sigmoid(), boxes, landmarks.flatten(1)], 1))
    decoded = torch.cat(parts).cpu().numpy()
    return [_faces(decoded[decoded[:, 0] == frame, 1:], height, width) for frame in range(len(maps[0]))]


def _faces(cells: NDArray[np.float32], height: int, width: int) -> Faces:
    """Faces of one frame from the scores, boxes and landmarks (M, 15) of its cells."""
    if len(cells) > MAX_CELLS:
        cells = cells[np.argsort(-cells[:, 0])[:MAX_CELLS]]
    faces = Faces(cells[:, 1:5], cells[:, 5:].reshape(-1, 5, 2), cells[:, 0]).with_nms()
    boxes = faces.boxes.clip(0, np.array([width, height, width, height], np.float32))
    return Faces(boxes, faces.landmarks, faces.scores)[(boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])]
