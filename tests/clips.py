"""Small odd recordings, made on the spot."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from pipeline.protocol import SourceReport, SourceSpec
from stages.records import Frame
from stages.video.recording import Decode

MILLISECONDS = Fraction(1, 1000)


def write_clip(
    path: Path,
    times: list[float],
    codec: str = "libx264",
    keyframes: int = 10,
    rate: int = 10,
    size: tuple[int, int] = (64, 48),
    pixel: Fraction = Fraction(1),
) -> Path:
    """A clip whose frame k has brightness 10 + 4k at its left edge, at the given PTS seconds.

    ``pixel``: width over height of a pixel. Codecs other than H.264 keep even times of their own, one frame each ``1 / rate``
    seconds.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options={"g": str(keyframes), "crf": "1"})
        (stream.width, stream.height), stream.pix_fmt = size, "yuv420p"
        stream.codec_context.sample_aspect_ratio = pixel
        if codec == "libx264":
            stream.time_base = stream.codec_context.time_base = MILLISECONDS
        for number, time in enumerate(times):
            picture = np.zeros((size[1], size[0], 3), np.uint8)
            picture[:, :16] = 10 + 4 * number % 240
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = (round(time * 1000), MILLISECONDS) if codec == "libx264" else (number, Fraction(1, rate))
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def write_sound(path: Path) -> Path:
    """A file with sound only."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.rate = 44100
        for packet in [*stream.encode(frame), *stream.encode()]:
            container.mux(packet)
    return path


def read_frames(path: Path, after: float | None = None, **keywords: Any) -> tuple[list[Frame], SourceReport]:
    """Read a recording from PTS ``after`` on, with `Decode` of these arguments. Returns its frames and its report."""
    decode = Decode(**keywords)
    decode.start(SourceSpec("clip", str(path)), after)
    frames: list[Frame] = []
    while (batch := decode.read()) is not None:
        frames.extend(batch)
    report = decode.report()
    decode.close()
    return frames, report
