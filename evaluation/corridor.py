"""A synthetic CCTV clip of people who do not exist, with ground truth: what the demo, tests and benchmarks run on.

    python -m evaluation.corridor --out clip/ [--seconds 24] [--width 960] [--walkers 10]

A camera under the ceiling looks down a corridor; walkers come towards it, faces 14 to 60 pixels wide (in a picture
960 wide). Then sensor noise, motion blur and H.264 at a camera's bit rate. Writes ``corridor.mp4``, ``truth.json``
and ``people/NAME/photo.png`` of the enrolled.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from models.chip import CHIP
from models.facegen import FaceGenerator, Identity, Look
from models.weights_io import WEIGHTS

Image = NDArray[np.uint8]

NAMES = (
    "Ada",
    "Bruno",
    "Chen",
    "Dalia",
    "Emil",
    "Fatou",
    "Goran",
    "Hana",
    "Ivo",
    "Jun",
    "Kim",
    "Lea",
    "Milo",
    "Nora",
    "Omar",
    "Pia",
)
ENROLLED = 4
FACE = np.array([24.0, 18.5, 104.5, 126.0], np.float32)  # the face's box within a 128 chip, as detectors draw it
FACE_WIDTH = float(FACE[2] - FACE[0])
NEAR, FAR = 62.0, 13.0  # width of a face at the two ends of a walk, in a picture 960 wide


@dataclass(frozen=True)
class Walker:
    """One person's walk: ``start_s`` and ``end_s`` in the clip, ``lane`` -1..1 across the corridor, ``near`` the
    largest face width."""

    name: str
    seed: int
    enrolled: bool
    start_s: float
    end_s: float
    lane: float
    near: float
    phase: float


@dataclass(frozen=True)
class Truth:
    """What is in the clip: per walker its frames as [pts_s, x1, y1, x2, y2]."""

    walker: Walker
    boxes: list[list[float]]


def cast(count: int, seconds: float, seed: int) -> list[Walker]:
    """Who walks when: starts spread over the clip, each walk 6 to 9 seconds, every second one of the first eight enrolled."""
    rng = np.random.default_rng(seed)
    walkers = []
    for i in range(count):
        length = min(seconds, float(rng.uniform(6, 9)))
        start = (seconds - length) * i / max(1, count - 1)
        lane = float([-0.7, 0.1, 0.75, -0.3, 0.45][i % 5] + rng.uniform(-0.08, 0.08))
        near = float(rng.uniform(0.6, 1.0))
        name = NAMES[i % len(NAMES)] + (f" {i // len(NAMES) + 1}" if i >= len(NAMES) else "")
        walkers.append(
            Walker(
                name,
                seed * 1000 + i,
                i % 2 == 0 and i < 2 * ENROLLED,
                start,
                start + length,
                lane,
                near,
                float(rng.uniform(0, 6)),
            )
        )
    return walkers


class Corridor:
    """Renders the scene frame by frame; ``width`` in pixels, 16:9."""

    def __init__(self, walkers: list[Walker], width: int = 960, fps: int = 15, seed: int = 1) -> None:
        self.generator = FaceGenerator(WEIGHTS / "facegen.safetensors")
        self.walkers, self.width, self.height, self.fps = walkers, width, round(width * 9 / 16 / 2) * 2, fps
        self.people = {w.name: self.generator.identity(w.seed) for w in walkers}
        self._rng = np.random.default_rng(seed)
        self._ground = background(self.width, self.height, self._rng)
        self._noise = self._rng.standard_normal((self.height * 2, self.width * 2, 3), np.float32) * 4.0
        self._faces: dict[str, tuple[int, Image, NDArray[np.float32]]] = {}

    def frames(self, seconds: float) -> Iterator[tuple[Image, dict[str, list[float]]]]:
        """RGB frames (H, W, 3), each with the boxes of the faces in view by name."""
        for number in range(round(seconds * self.fps)):
            now = number / self.fps
            frame = self._ground.copy()
            boxes = {}
            present = [(self._face_px(w, now), w) for w in self.walkers if w.start_s <= now < w.end_s]
            for face_px, walker in sorted(present, key=lambda p: p[0]):
                box = self._draw(frame, walker, now, number, face_px)
                for name, (x1, y1, x2, y2) in list(boxes.items()):  # whoever is behind somebody is no longer in view
                    if box[0] < (x1 + x2) / 2 < box[2] and box[1] < (y1 + y2) / 2 < box[3] + 4 * (box[3] - box[1]):
                        del boxes[name]
                if box[0] >= 0 and box[1] >= 0 and box[2] <= self.width and box[3] <= self.height:
                    boxes[walker.name] = [float(v) for v in box]
            y, x = self._rng.integers(0, self.height), self._rng.integers(0, self.width)
            noise = self._noise[y : y + self.height, x : x + self.width]
            yield cv2.add(frame, noise, dtype=cv2.CV_8U).astype(np.uint8), boxes

    def _face_px(self, walker: Walker, now: float) -> float:
        """Walking at an even pace, one grows as one over the distance."""
        done = (now - walker.start_s) / (walker.end_s - walker.start_s)
        far, near = 1 / FAR, 1 / (NEAR * walker.near)
        return self.width / 960 / (far + (near - far) * done)

    def _draw(self, frame: Image, walker: Walker, now: float, number: int, face_px: float) -> NDArray[np.float32]:
        unit = self.width / 960
        size = face_px / unit
        stride = np.sin(2 * np.pi * 1.8 * now + walker.phase)
        x = self.width * (0.5 + walker.lane * size * 0.0068) + stride * face_px * 0.04
        y = self.height * 0.26 + face_px * 1.9 + abs(stride) * face_px * 0.05
        look = Look(
            yaw=0.22 * np.sin(0.9 * now + walker.phase) - 0.15 * walker.lane,
            pitch=0.1 + 0.05 * np.sin(1.3 * now + 2 * walker.phase),
            smile=0.4 * np.sin(0.5 * now + walker.phase),
            light=(0.15 * np.sin(now + walker.phase), -0.2),
            gain=float(0.85 + 0.1 * np.sin(3 * size / 10)),
        )
        cached = self._faces.get(walker.name)
        if cached is None or number - cached[0] >= 2:
            self._faces[walker.name] = cached = (number, *self.generator.render(self.people[walker.name], look))
        _, chip, mask = cached
        body(frame, x, y, face_px, walker.seed, stride, chip)
        paste(frame, chip, mask, x, y, face_px / FACE_WIDTH, blur=0.25 + 0.02 * face_px * 0.35)
        scale = face_px / FACE_WIDTH
        centre = np.array([x, y, x, y], np.float32)
        return ((FACE - CHIP / 2) * scale + centre).astype(np.float32)


def paste(frame: Image, chip: Image, mask: NDArray[np.float32], x: float, y: float, scale: float, blur: float = 0.0) -> None:
    """Lay a chip's head on a frame, its centre at (x, y), ``scale`` frame pixels a chip pixel, blurred by ``blur``
    frame pixels."""
    reach = int(CHIP * scale / 2) + 3
    x0, y0 = int(x) - reach, int(y) - reach
    matrix = np.array([[scale, 0, x - x0 - scale * CHIP / 2], [0, scale, y - y0 - scale * CHIP / 2]])
    side = (2 * reach, 2 * reach)
    soft = max(0.0, 0.4 / scale) if scale < 1 else 0.0
    sigma = float(np.hypot(soft, blur / scale))
    if sigma > 0.1:
        chip, mask = cv2.GaussianBlur(chip, (0, 0), sigma), cv2.GaussianBlur(mask, (0, 0), sigma)
    small = cv2.warpAffine(chip, matrix, side, borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.warpAffine(mask, matrix, side)[..., None]
    top, left = max(0, -y0), max(0, -x0)
    bottom, right = min(2 * reach, frame.shape[0] - y0), min(2 * reach, frame.shape[1] - x0)
    if bottom <= top or right <= left:
        return
    window = frame[y0 + top : y0 + bottom, x0 + left : x0 + right]
    part = slice(top, bottom), slice(left, right)
    window[:] = (window * (1 - alpha[part]) + small[part] * alpha[part]).astype(np.uint8)


def body(frame: Image, x: float, y: float, face_px: float, seed: int, stride: float, chip: Image) -> None:
    """A plain figure below the head: legs, torso, neck, and hair behind the face."""
    rng = np.random.default_rng(seed)
    shirt, trousers, hair = (tuple(int(v) for v in rng.integers(low, high, 3)) for low, high in ((40, 200), (20, 90), (15, 70)))
    skin = tuple(int(v * 0.8) for v in chip[80:100, 52:76].reshape(-1, 3).mean(0))

    def at(dx: float, dy: float) -> tuple[int, int]:
        return round(x + dx * face_px), round(y + dy * face_px)

    for side in (-1, 1):
        cv2.line(
            frame,
            at(side * 0.45, 4.2),
            at(side * (0.45 + 0.2 * stride), 8.0),
            trousers,
            max(2, round(0.75 * face_px)),
            cv2.LINE_AA,
        )
        cv2.line(
            frame, at(side * 1.15, 1.5), at(side * (1.25 + 0.15 * stride), 4.0), shirt, max(2, round(0.5 * face_px)), cv2.LINE_AA
        )
    torso = np.array([at(-1.25, 1.25), at(-0.4, 0.95), at(0.4, 0.95), at(1.25, 1.25), at(0.95, 4.6), at(-0.95, 4.6)])
    cv2.fillPoly(frame, [torso], shirt, cv2.LINE_AA)
    cv2.line(frame, at(0, 0.4), at(0, 1.05), skin, max(2, round(0.55 * face_px)), cv2.LINE_AA)
    cv2.ellipse(frame, at(0, -0.12), (round(0.62 * face_px), round(0.78 * face_px)), 0, 0, 360, hair, -1, cv2.LINE_AA)


def background(width: int, height: int, rng: np.random.Generator) -> Image:
    """An empty corridor in one-point perspective: ceiling with lamps, floor, walls with doors and notices."""
    picture = np.zeros((height, width, 3), np.uint8)
    vx, vy = 0.5, 0.26
    far_w, far_h = 0.055, 0.09

    def at(px: float, py: float) -> tuple[int, int]:
        return round(px * width), round(py * height)

    left, right, top, bottom = vx - far_w, vx + far_w, vy - far_h, vy + far_h
    for corners, colour in (
        ((at(0, 0), at(1, 0), at(right, top), at(left, top)), (188, 188, 180)),
        ((at(0, 1), at(1, 1), at(right, bottom), at(left, bottom)), (118, 112, 104)),
        ((at(0, 0), at(left, top), at(left, bottom), at(0, 1)), (164, 160, 148)),
        ((at(1, 0), at(right, top), at(right, bottom), at(1, 1)), (150, 148, 138)),
        ((at(left, top), at(right, top), at(right, bottom), at(left, bottom)), (96, 100, 108)),
    ):
        cv2.fillPoly(picture, [np.array(corners)], colour, cv2.LINE_AA)
    for depth in (0.08, 0.3, 0.55, 0.75):  # from the camera, 0, to the far end, 1
        for side, edge in ((0.0, left), (1.0, right)):
            a, b = depth, depth + 0.1
            xa, xb = side + (edge - side) * a, side + (edge - side) * b
            ya, yb = (top * d for d in (a, b))
            za, zb = (1 + (bottom - 1) * d for d in (a, b))
            door = [at(xa, ya + 0.28 * (za - ya)), at(xb, yb + 0.28 * (zb - yb)), at(xb, zb), at(xa, za)]
            cv2.fillPoly(picture, [np.array(door)], tuple(int(v) for v in rng.integers(70, 130, 3)), cv2.LINE_AA)
        xa, xb = 0.5 - 0.16 * (1 - depth), 0.5 + 0.16 * (1 - depth)
        lamp = [at(xa, top * depth), at(xb, top * depth), at(xb, top * (depth + 0.05)), at(xa, top * (depth + 0.05))]
        cv2.fillPoly(picture, [np.array(lamp)], (246, 246, 236), cv2.LINE_AA)
    grain = cv2.resize(rng.normal(0, 6, (height // 4, width // 4, 1)).astype(np.float32), (width, height))
    return cv2.GaussianBlur(cv2.add(picture, np.repeat(grain[..., None], 3, 2), dtype=cv2.CV_8U), (0, 0), 0.8).astype(np.uint8)


def portrait(generator: FaceGenerator, person: Identity, seed: int) -> Image:
    """An enrolment photo (480, 400, 3): the same person in another light, pose and mood."""
    rng = np.random.default_rng(seed + 77)
    look = Look(
        yaw=float(rng.uniform(-0.15, 0.15)),
        pitch=float(rng.uniform(-0.05, 0.05)),
        smile=float(rng.uniform(0, 1)),
        light=(float(rng.uniform(-0.3, 0.3)), -0.1),
        gain=1.05,
    )
    chip, mask = generator.render(person, look)
    photo = np.full((480, 400, 3), (196, 204, 212), np.uint8)
    body(photo, 200, 200, 150, seed, 0.0, chip)
    paste(photo, chip, mask, 200, 200, 150 / FACE_WIDTH)
    return photo


def render(
    out: Path,
    seconds: float = 24.0,
    width: int = 960,
    walkers: int = 10,
    fps: int = 15,
    seed: int = 1,
    told: Callable[[float], None] = lambda share: None,
) -> Path:
    """Write clip, truth and enrolment photos to ``out``; ``told`` hears the share done. Returns the clip's path."""
    out.mkdir(parents=True, exist_ok=True)
    scene = Corridor(cast(walkers, seconds, seed), width, fps, seed)
    boxes: dict[str, list[list[float]]] = {w.name: [] for w in scene.walkers}
    clip = out / "corridor.mp4"
    with av.open(str(clip), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"preset": "veryfast", "g": str(2 * fps)})
        stream.width, stream.height, stream.pix_fmt = scene.width, scene.height, "yuv420p"
        stream.bit_rate = round(900_000 * (width / 960) ** 2 * fps / 15)
        stream.time_base = Fraction(1, fps)
        total = round(seconds * fps)
        for number, (frame, seen) in enumerate(scene.frames(seconds)):
            for packet in stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")):
                container.mux(packet)
            for name, box in seen.items():
                boxes[name].append([round(v, 2) for v in (number / fps, *box)])
            told((number + 1) / total)
        for packet in stream.encode():
            container.mux(packet)
    truth = [asdict(Truth(w, boxes[w.name])) for w in scene.walkers]
    (out / "truth.json").write_text(json.dumps({"clip": clip.name, "fps": fps, "walkers": truth}))
    for walker in scene.walkers:
        if walker.enrolled:
            folder = out / "people" / walker.name
            folder.mkdir(parents=True, exist_ok=True)
            photo = portrait(scene.generator, scene.people[walker.name], walker.seed)
            cv2.imwrite(str(folder / "photo.png"), np.ascontiguousarray(photo[..., ::-1]))
    return clip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=24.0)
    parser.add_argument("--width", type=int, default=960)
    parser.add_argument("--walkers", type=int, default=10)
    parser.add_argument("--fps", type=int, default=15)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    print(render(args.out, args.seconds, args.width, args.walkers, args.fps, args.seed))


if __name__ == "__main__":
    main()
