"""Make training pictures for the detector: downscaled photos and frames, mosaics and pasted chips, degraded by a camera model.

Resolution distillation: the teacher labels each picture at full or doubled size, where detection is easy. The student trains on
the
downscaled picture, with faces 6 to 80 pixels wide. Faces with a teacher score below `SURE`, or narrower than `LEAST_WIDTH`, are
ignored: neither face nor background. Hard faces (score below `HARD`: profiles, half occluded faces) are rare and are oversampled.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from models.chip import CHIP, TEMPLATE
from models.faces import Faces
from training.common.camera_looks import apply_camera
from training.data.scenes import SURE, UNSURE, Scene, mirror

HARD, HARD_SHARE = 0.7, 0.35  # teacher's score below which a face is hard; share of photos chosen for a hard face
COVERED = 0.45  # a face of which a larger share is hidden is ignored
LEAST_WIDTH = 5.0  # pixels
NEAR = 0.3  # share of photos used at about their original scale
OCCLUDED = 0.15  # share of faces that are partly occluded
FACE_FREE = 0.1  # share of pictures without faces: downscaled objects and textures
FACE_FREE_SCALES = 0.15, 1.0
CHIP_FACE = np.array([23.9, 18.5, 104.7, 125.8], np.float32)  # median box of the teacher on 104 padded chips; used without labels
WHOLE_CHIP = 0.4  # share of pasted chips that keep hair and background


class SceneMaker:
    """Generator of training pictures (``side``×``side`` pixels) from photos, frames and chips."""

    def __init__(
        self,
        photos: list[Scene],
        frames: list[Scene],
        chips: NDArray[np.uint8],
        rows: NDArray[np.intp],
        side: int,
        hard_negatives: Sequence[NDArray[np.uint8]] = (),
        chip_labels: Faces | None = None,
    ) -> None:
        """Store the sources.

        Args:
            photos: labelled photos.
            frames: labelled frames of clips.
            chips: uint8 (N, 128, 128, 3) RGB, whose faces are pasted.
            rows: rows of the chips that may be pasted.
            side: side of the pictures in pixels.
            hard_negatives: crops uint8 (h, w, 3) of a detector's false detections.
            chip_labels: one face per chip (`training.data.label_chips`); None: `CHIP_FACE` for every chip.
        """
        self.photos, self.frames, self.chips, self.side, self.hard_negatives = photos, frames, chips, side, hard_negatives
        self.hard = [photo for photo in photos if len(_sure(photo, HARD))]
        self.face_free = [frame for frame in frames if not len(frame.scores)]
        every = len(chips)
        self.chip_labels = chip_labels or Faces(
            np.tile(CHIP_FACE, (every, 1)), np.tile(TEMPLATE, (every, 1, 1)), np.full(every, 0.9, np.float32)
        )
        self.rows = rows[self.chip_labels.scores[rows] >= SURE]
        self.hard_rows = self.rows[self.chip_labels.scores[self.rows] < HARD]
        self.noise = np.random.default_rng(7).standard_normal((1 << 20,), np.float32)

    def make(self, rng: np.random.Generator) -> Scene:
        """Make one picture with its labels."""
        face_free = bool(self.face_free) and rng.random() < FACE_FREE
        if face_free:
            scene = self._far_things(rng)
        else:
            scene = self._frame(rng) if rng.random() < 0.5 else self._mosaic(rng)
            if rng.random() < 0.5:
                scene = self._paste_chips(scene, rng)
        for _ in range(rng.integers(0, 4)):
            self._paste_hard_negative(scene, rng)
        self._occlude(scene, rng)
        if rng.random() < 0.5:
            scene = mirror(scene)
        if rng.random() < 0.8:
            scene.image = apply_camera(scene.image, self.noise, rng)
        return scene

    def _frame(self, rng: np.random.Generator) -> Scene:
        source = self.frames[rng.integers(len(self.frames))]
        return self._filled(self._view(source, float(np.exp(rng.uniform(np.log(0.35), np.log(1.6)))), rng), rng)

    def _far_things(self, rng: np.random.Generator) -> Scene:
        """Combine four face-free views at different scales: distant texture can look like a small face."""
        side = self.side // 2
        scene = self._filled(self._view(self._face_free_one(rng), 1.0, rng), rng, grounds=self.face_free)
        for x in (0, side):
            for y in (0, side):
                view = self._view(self._face_free_one(rng), float(np.exp(rng.uniform(*np.log(FACE_FREE_SCALES)))), rng)
                scene.image[y : y + side, x : x + side][: view.image.shape[0], : view.image.shape[1]] = view.image[:side, :side]
        return scene

    def _face_free_one(self, rng: np.random.Generator) -> Scene:
        return self.face_free[rng.integers(len(self.face_free))]

    def _mosaic(self, rng: np.random.Generator) -> Scene:
        """Scale a photo so that a chosen face gets a random width, and paste up to three small photos over it."""
        base = self._filled(self._one_photo(rng, near=rng.random() < NEAR), rng)
        for _ in range(3):
            other = self._one_photo(rng)
            height, width = other.image.shape[:2]
            if max(height, width) <= self.side * 0.7:
                base = _overlay(base, other, *(int(rng.integers(0, self.side - n + 1)) for n in (width, height)))
        return base

    def _one_photo(self, rng: np.random.Generator, near: bool = False) -> Scene:
        """Scale a photo so that one face gets a random width; ``near``: a large width, so that hair, ears and hands appear
        large."""
        hard = bool(self.hard) and rng.random() < HARD_SHARE
        photos = self.hard if hard else self.photos
        source = photos[rng.integers(len(photos))]
        sure = _sure(source, HARD if hard else np.inf)
        wanted = float(np.exp(rng.uniform(*np.log((90, 320) if near else (7, 110)))))
        if not len(sure):
            return self._view(source, float(rng.uniform(0.2, 1.0)), rng)
        face = int(rng.choice(sure))
        return self._view(source, min(wanted / float(source.boxes[face, 2] - source.boxes[face, 0]), 1.5), rng, face)

    def _view(self, source: Scene, scale: float, rng: np.random.Generator, face: int | None = None) -> Scene:
        """Crop at most ``side`` pixels of the scaled scene, around a face (a random one, or ``face``) with probability 0.7."""
        angle = float(rng.normal(0, 8)) if rng.random() < 0.3 else 0.0
        height, width = (max(8, round(n * scale)) for n in source.image.shape[:2])
        out_w, out_h = min(width, self.side), min(height, self.side)
        left, top = (rng.uniform(0, max(0, n - o)) for n, o in ((width, out_w), (height, out_h)))
        if len(source.scores) and rng.random() < 0.7:
            box = source.boxes[rng.integers(len(source.scores)) if face is None else face] * scale
            left = np.clip((box[0] + box[2]) / 2 - rng.uniform(0.1, 0.9) * out_w, 0, max(0, width - out_w))
            top = np.clip((box[1] + box[3]) / 2 - rng.uniform(0.1, 0.9) * out_h, 0, max(0, height - out_h))
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        small = cv2.resize(source.image, (width, height), interpolation=method)
        matrix = cv2.getRotationMatrix2D((left + out_w / 2, top + out_h / 2), angle, 1.0)
        matrix[:, 2] -= (left, top)
        if angle:
            window = cv2.warpAffine(small, matrix, (out_w, out_h), borderMode=cv2.BORDER_REPLICATE)
        else:
            window = small[int(top) : int(top) + out_h, int(left) : int(left) + out_w].copy()
            matrix[:, 2] = (-int(left), -int(top))
        factors = np.array([width / source.image.shape[1], height / source.image.shape[0]], np.float32)
        centres = (source.boxes.reshape(-1, 2, 2).mean(1) * factors) @ matrix[:, :2].T + matrix[:, 2]
        half = (source.boxes[:, 2:] - source.boxes[:, :2]) * factors / 2
        landmarks = (source.landmarks * factors) @ matrix[:, :2].T + matrix[:, 2]
        boxes = np.hstack([centres - half, centres + half])
        whole = ((centres > 0) & (centres < (out_w, out_h))).all(1)
        scores = np.where(whole, source.scores, UNSURE)
        seen = touched(boxes, np.array([0, 0, out_w, out_h]))
        return Scene(window, *(part[seen].astype(np.float32) for part in (boxes, landmarks, scores)))

    def _filled(self, scene: Scene, rng: np.random.Generator, grounds: list[Scene] | None = None) -> Scene:
        """Pad the scene to full size with a crop of one of ``grounds`` (None: the frames), or with one colour."""
        side = self.side
        height, width = scene.image.shape[:2]
        if (height, width) == (side, side):
            return scene
        grounds = grounds or self.frames
        ground = grounds[rng.integers(len(grounds))]
        colour = np.full((side, side, 3), rng.integers(0, 256, 3), np.uint8)
        base = Scene(colour, scene.boxes[:0], scene.landmarks[:0], scene.scores[:0])
        if min(ground.image.shape[:2]) >= side and rng.random() < 0.6:
            base = self._view(ground, 1.0, rng)
        return _overlay(base, scene, int(rng.integers(0, side - width + 1)), int(rng.integers(0, side - height + 1)))

    def _paste_chips(self, scene: Scene, rng: np.random.Generator) -> Scene:
        """Paste one to four chips, most of them masked to an ellipse, where there is no labelled face."""
        for _ in range(rng.integers(1, 5)):
            width = float(np.exp(rng.uniform(np.log(6), np.log(64))))
            scale = width / (CHIP_FACE[2] - CHIP_FACE[0])
            reach = int(CHIP * scale / 2) + 2
            if 2 * reach >= self.side:
                continue
            x, y = rng.integers(reach, self.side - reach, 2)
            area = np.array([x - reach, y - reach, x + reach, y + reach])
            if touched(scene.boxes, area).any():
                continue
            hard = len(self.hard_rows) > 0 and rng.random() < HARD_SHARE
            row = int(rng.choice(self.hard_rows if hard else self.rows))
            chip = np.ascontiguousarray(self.chips[row])
            matrix = cv2.getRotationMatrix2D((CHIP / 2 - 0.5, CHIP / 2 - 0.5), float(rng.normal(0, 10)), scale)
            matrix[:, 2] += reach - CHIP / 2
            if scale < 0.5:
                chip = cv2.GaussianBlur(chip, (0, 0), 0.35 / scale)
            size = (2 * reach, 2 * reach)
            small = cv2.warpAffine(chip, matrix, size, borderMode=cv2.BORDER_REPLICATE)
            mask = np.zeros((CHIP, CHIP), np.float32)
            if rng.random() < WHOLE_CHIP:
                mask[:] = 1
            else:
                cv2.ellipse(mask, (64, 66), (46 + int(rng.integers(0, 14)), 62), 0, 0, 360, 1.0, -1)
            mask = cv2.GaussianBlur(cv2.warpAffine(mask, matrix, size), (0, 0), 0.6 + 0.02 * reach)[..., None]
            window = scene.image[area[1] : area[3], area[0] : area[2]]
            scene.image[area[1] : area[3], area[0] : area[2]] = (window * (1 - mask) + small * mask).astype(np.uint8)
            matrix[:, 2] += (area[:2] + 0.5) - matrix[:, :2] @ (0.5, 0.5)  # label coordinates start at pixel edges
            face = self.chip_labels.boxes[row]
            landmarks = self.chip_labels.landmarks[row] @ matrix[:, :2].T + matrix[:, 2]
            centre = face.reshape(2, 2).mean(0) @ matrix[:, :2].T + matrix[:, 2]
            half = (face[2:] - face[:2]) * scale / 2
            scene.boxes = np.vstack([scene.boxes, np.hstack([centre - half, centre + half])[None]]).astype(np.float32)
            scene.landmarks = np.concatenate([scene.landmarks, landmarks[None].astype(np.float32)])
            scene.scores = np.append(scene.scores, np.float32(0.9))
        return scene

    def _paste_hard_negative(self, scene: Scene, rng: np.random.Generator) -> None:
        """Paste letters or a hard negative where there is no labelled face."""
        size = int(np.exp(rng.uniform(np.log(8), np.log(90))))
        x, y = rng.integers(0, self.side - size, 2)
        if touched(scene.boxes, np.array([x, y, x + size, y + size])).any():
            return
        window = scene.image[y : y + size, x : x + size]
        if self.hard_negatives and rng.random() < 0.7:
            piece = self.hard_negatives[rng.integers(len(self.hard_negatives))]
            piece = piece[:, ::-1] if rng.random() < 0.5 else piece
            window[:] = cv2.resize(np.ascontiguousarray(piece), (size, size), interpolation=cv2.INTER_AREA)
            return
        letters = "".join(rng.choice(list("ABCDEGOPQRSUaegos0235689&@%?"), int(rng.integers(1, 4))))
        colour = [int(c) for c in rng.integers(0, 256, 3)]
        font = int(rng.integers(0, 8))
        ground = window.copy()
        scale = size / 30 * float(rng.uniform(0.7, 1.2))
        cv2.putText(ground, letters, (0, size * 4 // 5), font, scale, colour, int(rng.integers(1, 2 + size // 12)), cv2.LINE_AA)
        window[:] = ground

    def _occlude(self, scene: Scene, rng: np.random.Generator) -> None:
        """Occlude 20 to 40 % of a share `OCCLUDED` of the faces with a face-free crop of a frame. The labels are kept."""
        for box in scene.boxes[scene.scores >= SURE]:
            x1, y1, x2, y2 = np.clip(box, 0, self.side).astype(int)
            width, height = x2 - x1, y2 - y1
            if width < 10 or height < 10 or rng.random() > OCCLUDED:
                continue
            share = rng.uniform(0.2, 0.4)
            across, down = (width, int(share * height)) if rng.random() < 0.6 else (int(share * width), height)
            left = x1 if rng.random() < 0.5 else x2 - across
            top = y1 if rng.random() < 0.5 else y2 - down
            source = self.frames[rng.integers(len(self.frames))]
            high, wide = source.image.shape[:2]
            if high <= down or wide <= across:
                continue
            y, x = rng.integers(0, high - down), rng.integers(0, wide - across)
            if not touched(source.boxes, np.array([x, y, x + across, y + down])).any():
                scene.image[top : top + down, left : left + across] = source.image[y : y + down, x : x + across]


def touched(boxes: NDArray[np.float32], area: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Whether each of the boxes (N, 4) overlaps an area (x1, y1, x2, y2)."""
    found = (boxes[:, 0] < area[2]) & (boxes[:, 2] > area[0]) & (boxes[:, 1] < area[3]) & (boxes[:, 3] > area[1])
    return np.asarray(found, np.bool_)


def _sure(scene: Scene, most: float) -> NDArray[np.intp]:
    """Rows of the faces with a score of at least `SURE` and below ``most``."""
    return np.flatnonzero((scene.scores >= SURE) & (scene.scores < most))


def _overlay(base: Scene, top: Scene, x: int, y: int) -> Scene:
    """Paste scene ``top`` into ``base`` at (x, y). Faces of ``base`` are ignored if more than `COVERED` of them is hidden."""
    height, width = (min(n, base.image.shape[i] - o) for i, (n, o) in enumerate(zip(top.image.shape[:2], (y, x), strict=True)))
    base.image[y : y + height, x : x + width] = top.image[:height, :width]
    b = base.boxes
    shared = np.minimum(b[:, 2:], (x + width, y + height)) - np.maximum(b[:, :2], (x, y))
    hidden = shared.clip(0).prod(1) / (b[:, 2:] - b[:, :2]).prod(1)
    inside = hidden > 1 - 1e-6
    scores = np.where(hidden > COVERED, UNSURE, base.scores)[~inside].astype(np.float32)
    return Scene(
        base.image,
        np.vstack([b[~inside], top.boxes + np.array([x, y, x, y], np.float32)]).astype(np.float32),
        np.concatenate([base.landmarks[~inside], top.landmarks + np.array([x, y], np.float32)]).astype(np.float32),
        np.concatenate([scores, top.scores]),
    )
