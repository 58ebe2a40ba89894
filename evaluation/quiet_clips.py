"""Recordings in which hardly anything happens, for `evaluation.activity`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from synthetic.corridor import NAMES, Corridor, GeneratedFaces, Image, Walker

KEY_EVERY_S = 2
CRF, BITS_PER_PIXEL = 26, 0.08  # of the clip at constant quality, and of the one at constant bit rate
SHORTEST_S, LONGEST_S = 4.0, 9.0  # of a walk


def sparse_walkers(seconds: float, share: float, seed: int) -> list[Walker]:
    """Draw walkers that come one after another, so that somebody walks for a share of the time.

    Args:
        seconds: length of the clip.
        share: 0..1.
        seed: of the walks and of the people.
    """
    rng = np.random.default_rng(seed)
    count = max(1, round(seconds * share / ((SHORTEST_S + LONGEST_S) / 2)))
    walkers = []
    for number in range(count):
        length = float(rng.uniform(SHORTEST_S, LONGEST_S))
        slot = seconds / count
        start = slot * number + float(rng.uniform(0.4, 0.6)) * max(0.0, slot - length)
        name = NAMES[number % len(NAMES)] + (f" {number // len(NAMES) + 1}" if number >= len(NAMES) else "")
        lane, near, phase = rng.uniform(-0.8, 0.8), rng.uniform(0.35, 1.0), rng.uniform(0, 6)
        walkers.append(Walker(name, seed * 1000 + number, False, start, start + length, float(lane), float(near), float(phase)))
    return walkers


def corridor_clips(folder: Path, seconds: float, share: float, width: int, fps: int, seed: int) -> dict[str, Path]:
    """Render a corridor with few walkers, encoded at constant quality and at a constant bit rate. A clip that is there is kept.

    The noise is Gaussian with a standard deviation of 4 grey levels, new in each frame.
    """
    rate = round(BITS_PER_PIXEL * width * width * 9 / 16 * fps / 1000)
    options = {
        "constant quality": {"crf": str(CRF)},
        "constant bit rate": {"b": f"{rate}k", "maxrate": f"{rate}k", "bufsize": f"{rate}k", "x264-params": "nal-hrd=cbr"},
    }
    paths = {name: folder / f"corridor-{name.replace(' ', '-')}-{width}-{fps}-{seconds:g}-{seed}.mp4" for name in options}
    if not all(path.is_file() for path in paths.values()):
        walkers = sparse_walkers(seconds, share, seed)
        scene = Corridor(walkers, GeneratedFaces(walkers), width, fps, seed)
        parts = [(path.with_suffix(".part.mp4"), options[name]) for name, path in paths.items()]
        _encode((frame for frame, _ in scene.frames(seconds)), (scene.width, scene.height), Fraction(fps), parts)
        for (part, _), path in zip(parts, paths.values(), strict=True):
            part.replace(path)
    return paths


def join_copies(clip: Path, path: Path, copies: int) -> Path:
    """Join copies of a clip without re-encoding.

    From the second copy on the first group of pictures is left out: an encoder that has just begun makes other packet sizes.
    """
    with av.open(str(path), "w") as output:
        stream: Any = None
        last = -1
        for copy in range(copies):
            with av.open(str(clip)) as container:
                source = container.streams.video[0]
                stream = stream or output.add_stream_from_template(source)
                groups, shift, step = 0, 0, 1
                for packet in container.demux(source):
                    if packet.pts is None or packet.dts is None:
                        continue
                    groups += packet.is_keyframe
                    if copy and groups < 2:
                        continue
                    step = packet.duration or step
                    shift = shift or last + step - packet.pts if copy else 0
                    packet.pts, packet.dts, packet.stream = packet.pts + shift, packet.dts + shift, stream
                    output.mux(packet)
                last = shift + round(source.duration) - step
    return path


def quiet_around(clip: Path, path: Path, quiet_s: float) -> Path:
    """Write a clip with its first and last frame held, with noise, for ``quiet_s`` seconds before and after it."""
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        rate = Fraction(stream.average_rate or 25).limit_denominator(1000)
        size = (stream.width // 2 * 2, stream.height // 2 * 2)
        frames = (f.to_ndarray(format="rgb24")[: size[1], : size[0]] for f in container.decode(stream))
        part = path.with_suffix(".part.mp4")
        _encode(_held(frames, round(quiet_s * rate)), size, rate, [(part, {"crf": "23"})])
    return part.replace(path)


def _held(frames: Iterator[Image], count: int) -> Iterator[Image]:
    rng = np.random.default_rng(1)
    first = last = next(frames)
    noise = rng.standard_normal((2 * first.shape[0], 2 * first.shape[1], 3), np.float32) * 2.0

    def noisy(frame: Image) -> Iterator[Image]:
        for _ in range(count):
            y, x = (int(rng.integers(0, n)) for n in frame.shape[:2])
            yield cv2.add(frame, noise[y : y + frame.shape[0], x : x + frame.shape[1]], dtype=cv2.CV_8U).astype(np.uint8)

    yield from noisy(first)
    yield first
    for last in frames:
        yield last
    yield from noisy(last)


def _encode(frames: Iterable[Image], size: tuple[int, int], rate: Fraction, files: list[tuple[Path, dict[str, str]]]) -> None:
    """Encode frames as H.264, once for each file and its options."""
    with contextlib.ExitStack() as stack:
        outputs: list[tuple[Any, Any]] = []
        for path, options in files:
            container = stack.enter_context(av.open(str(path), "w"))
            keys = {"preset": "veryfast", "g": str(round(KEY_EVERY_S * rate))}
            stream: Any = container.add_stream("libx264", rate=rate, options=keys | options)
            (stream.width, stream.height), stream.pix_fmt = size, "yuv420p"
            outputs.append((container, stream))
        for number, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, 1 / rate
            for container, stream in outputs:
                container.mux(stream.encode(frame))
        for container, stream in outputs:
            container.mux(stream.encode())
