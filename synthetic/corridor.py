"""A synthetic CCTV clip of people who do not exist, with ground truth: what the demo, tests and benchmarks run on.

    python -m synthetic.corridor --out clip/ [--seconds 24] [--width 960] [--walkers 10]

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
from models.networks.facegen import FaceGenerator, Identity, Look
from models.weights_io import WEIGHTS
from synthetic.figures import background, body, paste

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


class Generated:
    """Faces of people who do not exist."""

    def __init__(self, walkers: list[Walker]) -> None:
        self.generator = FaceGenerator(WEIGHTS / "facegen.safetensors")
        self.people = {w.name: self.generator.identity(w.seed) for w in walkers}

    def __call__(self, walker: Walker, look: Look) -> tuple[Image, NDArray[np.float32]]:
        return self.generator.render(self.people[walker.name], look)


class Corridor:
    """Renders the scene frame by frame; ``width`` in pixels, 16:9. ``faces`` gives a walker's chip (128, 128, 3) and its mask
    (128, 128) in 0..1; ``ground`` is another background (H, W, 3)."""

    def __init__(
        self,
        walkers: list[Walker],
        faces: Callable[[Walker, Look], tuple[Image, NDArray[np.float32]]],
        width: int = 960,
        fps: int = 15,
        seed: int = 1,
        ground: Image | None = None,
    ) -> None:
        self.walkers, self.width, self.height, self.fps = walkers, width, round(width * 9 / 16 / 2) * 2, fps
        self._looks = faces
        self._rng = np.random.default_rng(seed)
        self._ground = background(self.width, self.height, self._rng) if ground is None else ground
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
            self._faces[walker.name] = cached = (number, *self._looks(walker, look))
        _, chip, mask = cached
        body(frame, x, y, face_px, walker.seed, stride, chip)
        paste(frame, chip, mask, x, y, face_px / FACE_WIDTH, blur=0.25 + 0.02 * face_px * 0.35)
        scale = face_px / FACE_WIDTH
        centre = np.array([x, y, x, y], np.float32)
        return ((FACE - CHIP / 2) * scale + centre).astype(np.float32)


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
    people = cast(walkers, seconds, seed)
    faces = Generated(people)
    scene = Corridor(people, faces, width, fps, seed)
    clip, truth = film(scene, out / "corridor.mp4", seconds, told)
    (out / "truth.json").write_text(json.dumps({"clip": clip.name, "fps": fps, "walkers": [asdict(t) for t in truth]}))
    for walker in people:
        if walker.enrolled:
            folder = out / "people" / walker.name
            folder.mkdir(parents=True, exist_ok=True)
            photo = portrait(faces.generator, faces.people[walker.name], walker.seed)
            cv2.imwrite(str(folder / "photo.png"), np.ascontiguousarray(photo[..., ::-1]))
    return clip


def film(
    scene: Corridor, clip: Path, seconds: float, told: Callable[[float], None] = lambda share: None
) -> tuple[Path, list[Truth]]:
    """Write so many seconds of a scene as H.264 at a camera's bit rate; returns its path and what is in it."""
    width, fps = scene.width, scene.fps
    boxes: dict[str, list[list[float]]] = {w.name: [] for w in scene.walkers}
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
    return clip, [Truth(w, boxes[w.name]) for w in scene.walkers]


def repeat(clip: Path, path: Path, times: int) -> Path:
    """The same recording so many times in one file, without encoding it again."""
    with av.open(str(path), "w") as output:
        stream, shift = None, 0
        for _ in range(times):
            with av.open(str(clip)) as container:
                source = container.streams.video[0]
                stream = stream or output.add_stream_from_template(source)
                for packet in container.demux(source):
                    if packet.dts is not None:
                        packet.pts, packet.dts, packet.stream = packet.pts + shift, packet.dts + shift, stream
                        output.mux(packet)
                shift += source.duration
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
    print(render(args.out, args.seconds, args.width, args.walkers, args.fps, args.seed))


if __name__ == "__main__":
    main()
