"""Render a synthetic CCTV clip of generated people, with ground truth, for the demo, tests and benchmarks.

    python -m synthetic.corridor --out clip/ [--seconds 24] [--width 960] [--walkers 10]

A ceiling camera looks along a corridor. Walkers approach it; their faces grow from 14 to 60 pixels in a frame 960 pixels wide.
The frames get sensor noise and motion blur, and are encoded as H.264 at a camera's bit rate. The output is ``corridor.mp4``,
``truth.json``, and ``people/NAME/photo.png`` for each enrolled person.
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
from models.networks.facegen import FaceGenerator, Identity, Look
from models.weights_io import WEIGHTS
from synthetic.figures import draw_background, draw_body, paste_head

Image = NDArray[np.uint8]

NAMES = tuple("Ada Bruno Chen Dalia Emil Fatou Goran Hana Ivo Jun Kim Lea Milo Nora Omar Pia".split())
ENROLLED = 4
FACE_BOX = np.array([24.0, 18.5, 104.5, 126.0], np.float32)  # x1 y1 x2 y2 of the face in a 128 chip, as detectors draw it
FACE_WIDTH = float(FACE_BOX[2] - FACE_BOX[0])
NEAR_FACE_PX, FAR_FACE_PX = 62.0, 13.0  # face width at the end and the start of a walk, in a frame 960 wide


@dataclass(frozen=True)
class Walker:
    """One person's walk.

    Attributes:
        name: unique in the clip.
        seed: seed of the person's appearance.
        enrolled: whether a photo of the person is on the watchlist.
        start_s: start of the walk, in seconds of the clip.
        end_s: end of the walk, in seconds of the clip.
        lane: -1..1, left to right across the corridor.
        near: 0..1, the largest face width as a share of `NEAR_FACE_PX`.
        phase: phase of the gait, in radians.
    """

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
    """Ground truth of one walker: a row [pts_s, x1, y1, x2, y2] for each frame that shows the face."""

    walker: Walker
    boxes: list[list[float]]


def make_walkers(count: int, seconds: float, seed: int) -> list[Walker]:
    """Draw the walkers of a clip.

    Starts are spread over the clip, and each walk takes 6 to 9 seconds. Every second walker of the first eight is enrolled.

    Args:
        count: number of walkers.
        seconds: length of the clip.
        seed: seed of the walks and of the people.
    """
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


class GeneratedFaces:
    """Renderer of the generated faces of a clip's walkers."""

    def __init__(self, walkers: list[Walker]) -> None:
        self.generator = FaceGenerator(WEIGHTS / "facegen.safetensors")
        self.people = {w.name: self.generator.identity(w.seed) for w in walkers}

    def __call__(self, walker: Walker, look: Look) -> tuple[Image, NDArray[np.float32]]:
        return self.generator.render(self.people[walker.name], look)


class Corridor:
    """Renderer of the scene, frame by frame.

    Args:
        walkers: the people in it.
        faces: renders a walker's face: uint8 (128, 128, 3) RGB and its mask float32 (128, 128) in 0..1.
        width: frame width in pixels; the aspect ratio is 16:9.
        fps: frames a second.
        seed: seed of background and noise.
        background: uint8 (H, W, 3) RGB instead of the drawn corridor.
    """

    def __init__(
        self,
        walkers: list[Walker],
        faces: Callable[[Walker, Look], tuple[Image, NDArray[np.float32]]],
        width: int = 960,
        fps: int = 15,
        seed: int = 1,
        background: Image | None = None,
    ) -> None:
        self.walkers, self.width, self.height, self.fps = walkers, width, round(width * 9 / 16 / 2) * 2, fps
        self._render_face = faces
        self._rng = np.random.default_rng(seed)
        self._background = draw_background(self.width, self.height, self._rng) if background is None else background
        self._noise = self._rng.standard_normal((self.height * 2, self.width * 2, 3), np.float32) * 4.0
        self._faces: dict[str, tuple[int, Image, NDArray[np.float32]]] = {}

    def frames(self, seconds: float) -> Iterator[tuple[Image, dict[str, list[float]]]]:
        """Yield uint8 RGB frames (H, W, 3), each with the boxes x1 y1 x2 y2 of the faces in view, by name."""
        for number in range(round(seconds * self.fps)):
            now = number / self.fps
            frame = self._background.copy()
            boxes: dict[str, list[float]] = {}
            present = [(self._face_px(w, now), w) for w in self.walkers if w.start_s <= now < w.end_s]
            for face_px, walker in sorted(present, key=lambda p: p[0]):
                box = self._draw(frame, walker, now, number, face_px)
                for name, (x1, y1, x2, y2) in list(boxes.items()):  # faces behind this walker are occluded
                    if box[0] < (x1 + x2) / 2 < box[2] and box[1] < (y1 + y2) / 2 < box[3] + 4 * (box[3] - box[1]):
                        del boxes[name]
                if box[0] >= 0 and box[1] >= 0 and box[2] <= self.width and box[3] <= self.height:
                    boxes[walker.name] = [float(v) for v in box]
            y, x = self._rng.integers(0, self.height), self._rng.integers(0, self.width)
            noise = self._noise[y : y + self.height, x : x + self.width]
            yield cv2.add(frame, noise, dtype=cv2.CV_8U).astype(np.uint8), boxes

    def _face_px(self, walker: Walker, now: float) -> float:
        """Face width in pixels: it is inversely proportional to the distance, and the walking speed is constant."""
        done = (now - walker.start_s) / (walker.end_s - walker.start_s)
        far, near = 1 / FAR_FACE_PX, 1 / (NEAR_FACE_PX * walker.near)
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
            self._faces[walker.name] = cached = (number, *self._render_face(walker, look))
        _, chip, mask = cached
        draw_body(frame, x, y, face_px, walker.seed, stride, chip)
        paste_head(frame, chip, mask, x, y, face_px / FACE_WIDTH, blur=0.25 + 0.02 * face_px * 0.35)
        scale = face_px / FACE_WIDTH
        centre = np.array([x, y, x, y], np.float32)
        return ((FACE_BOX - CHIP / 2) * scale + centre).astype(np.float32)


def portrait(generator: FaceGenerator, person: Identity, seed: int) -> Image:
    """Render an enrolment photo uint8 (480, 400, 3) RGB: the person in another light, pose and expression."""
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
    draw_body(photo, 200, 200, 150, seed, 0.0, chip)
    paste_head(photo, chip, mask, 200, 200, 150 / FACE_WIDTH)
    return photo


def render_clip(
    out: Path,
    seconds: float = 24.0,
    width: int = 960,
    walkers: int = 10,
    fps: int = 15,
    seed: int = 1,
    on_progress: Callable[[float], None] = lambda share: None,
) -> Path:
    """Write clip, truth and enrolment photos to ``out``; ``on_progress`` is called with
    the finished share, 0..1. Returns the clip's path."""
    out.mkdir(parents=True, exist_ok=True)
    people = make_walkers(walkers, seconds, seed)
    faces = GeneratedFaces(people)
    scene = Corridor(people, faces, width, fps, seed)
    clip, truth = write_clip(scene, out / "corridor.mp4", seconds, on_progress)
    (out / "truth.json").write_text(json.dumps({"clip": clip.name, "fps": fps, "walkers": [asdict(t) for t in truth]}))
    for walker in people:
        if walker.enrolled:
            folder = out / "people" / walker.name
            folder.mkdir(parents=True, exist_ok=True)
            photo = portrait(faces.generator, faces.people[walker.name], walker.seed)
            cv2.imwrite(str(folder / "photo.png"), np.ascontiguousarray(photo[..., ::-1]))
    return clip


def write_clip(
    scene: Corridor, clip: Path, seconds: float, on_progress: Callable[[float], None] = lambda share: None
) -> tuple[Path, list[Truth]]:
    """Encode ``seconds`` of a scene as H.264 at a camera's bit rate. Returns the clip's path and its ground truth."""
    width, fps = scene.width, scene.fps
    boxes: dict[str, list[list[float]]] = {w.name: [] for w in scene.walkers}
    with av.open(str(clip), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"preset": "veryfast", "g": str(2 * fps)})
        stream.width, stream.height, stream.pix_fmt = scene.width, scene.height, "yuv420p"
        stream.bit_rate = round(900_000 * (width / 960) ** 2 * fps / 15)
        stream.time_base = Fraction(1, fps)
        total = round(seconds * fps)
        for number, (frame, visible) in enumerate(scene.frames(seconds)):
            for packet in stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")):
                container.mux(packet)
            for name, box in visible.items():
                boxes[name].append([round(v, 2) for v in (number / fps, *box)])
            on_progress((number + 1) / total)
        for packet in stream.encode():
            container.mux(packet)
    return clip, [Truth(w, boxes[w.name]) for w in scene.walkers]


def repeat_clip(clip: Path, path: Path, times: int) -> Path:
    """Concatenate ``times`` copies of a recording into one file, without re-encoding."""
    with av.open(str(path), "w") as output:
        stream: av.VideoStream | None = None
        shift = 0
        for _ in range(times):
            with av.open(str(clip)) as container:
                source = container.streams.video[0]
                stream = stream or output.add_stream_from_template(source)
                for packet in container.demux(source):
                    if packet.pts is not None and packet.dts is not None:
                        packet.pts, packet.dts, packet.stream = packet.pts + shift, packet.dts + shift, stream
                        output.mux(packet)
                shift += source.duration or 0
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=24.0)
    parser.add_argument("--width", type=int, default=960)
    parser.add_argument("--walkers", type=int, default=10)
    parser.add_argument("--fps", type=int, default=15)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    print(render_clip(args.out, args.seconds, args.width, args.walkers, args.fps, args.seed))


if __name__ == "__main__":
    main()
