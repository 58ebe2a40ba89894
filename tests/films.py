"""Recordings of every kind whose frames carry their number, so that a test can tell which frame got which time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.bitstream import BitStreamFilterContext

BITS, CELL = 8, 24
SIZE = BITS * CELL, 96


def numbered(number: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """RGB picture with a number in dark and bright columns; its lower half is grey."""
    width, height = size
    picture = np.full((height, width, 3), 120, np.uint8)
    for bit in range(BITS):
        picture[: height // 2, bit * width // BITS : (bit + 1) * width // BITS] = 210 if number >> bit & 1 else 30
    return picture


def number_of(picture: np.ndarray) -> int:
    """What `numbered` wrote, whatever a codec made of it."""
    height, width = picture.shape[:2]
    middle = [picture[height // 4, (2 * bit + 1) * width // (2 * BITS)].mean() > 120 for bit in range(BITS)]
    return sum(int(on) << bit for bit, on in enumerate(middle))


def write_film(
    path: Path,
    codec: str = "libx264",
    rate: int = 10,
    count: int = 40,
    form: str | None = None,
    size: tuple[int, int] = SIZE,
    pixels: str = "yuv420p",
    options: dict[str, str] | None = None,
    muxer: dict[str, str] | None = None,
    begin: int = 0,
    interlaced: bool = False,
    matrix: list[int] | None = None,
    sound_from_s: float | None = None,
    video_from_s: float = 0.0,
) -> Path:
    """``count`` frames at ``rate``, the first with number ``begin``. With ``sound_from_s`` a silent sound track starts then."""
    with av.open(str(path), "w", format=form, options=muxer or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        (stream.width, stream.height), stream.pix_fmt = size, pixels
        if matrix:
            stream.set_display_matrix(matrix)
        sound = container.add_stream("aac", rate=8000, layout="mono") if sound_from_s is not None else None
        if sound:
            for k in range(count * 8000 // rate // 1024 + 1):
                frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
                frame.rate, frame.pts, frame.time_base = 8000, k * 1024 + round(sound_from_s * 8000), Fraction(1, 8000)
                container.mux(sound.encode(frame))
            container.mux(sound.encode())
        for k in range(count):
            frame = av.VideoFrame.from_ndarray(numbered(begin + k, size), format="rgb24").reformat(format=pixels)
            frame.pts, frame.time_base = k + round(video_from_s * rate), Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def copied(path: Path, to: Path, change: Callable[[int, Any], Any] | None = None, form: str | None = None) -> Path:
    """The same packets in another container, each as ``change`` makes it of its number and itself; None leaves it out."""
    with av.open(str(path)) as old, av.open(str(to), "w", format=form) as new:
        source = old.streams.video[0]
        stream = new.add_stream_from_template(source)
        for number, packet in enumerate(p for p in _fit(old.demux(source), source, stream, to)):
            packet = change(number, packet) if change else packet
            if packet is not None:
                packet.stream = stream
                new.mux(packet)
    return to


def _fit(packets: Iterable[Any], source: Any, stream: Any, to: Path) -> Iterable[Any]:
    """Packets as the other container wants them."""
    filters = None
    if to.suffix in (".avi", ".nut") and source.codec_context.name in ("h264", "hevc"):
        filters = BitStreamFilterContext(f"{source.codec_context.name}_mp4toannexb", source, stream)
    for packet in packets:
        if packet.size:
            yield from filters.filter(packet) if filters else [packet]


def later(seconds: float, only: Iterable[int] | None = None) -> Callable[[int, Any], Any]:
    """For `copied`: move the stamps of all packets, or of some, by number in the order of decoding."""
    which = None if only is None else set(only)

    def change(number: int, packet: Any) -> Any:
        if which is None or number in which:
            step = round(seconds / packet.time_base)
            packet.pts += step
            if which is None:
                packet.dts += step
        return packet

    return change


def stamped(path: Path, to: Path, seconds: float | None, only: Iterable[int]) -> Path:
    """A copy of a TS without B-frames in which some frames' PTS are off by ``seconds``, or missing."""
    which, number, content = set(only), -1, bytearray(path.read_bytes())
    for at in range(0, len(content), 188):
        head = 4 + (1 + content[at + 4] if content[at + 3] & 0x20 else 0)
        pes = at + head
        if not content[at + 1] & 0x40 or content[pes : pes + 3] != b"\0\0\1" or not 0xE0 <= content[pes + 3] <= 0xEF:
            continue
        number += 1
        if number not in which:
            continue
        if seconds is None:
            content[pes + 7] &= 0x3F
            content[pes + 9 : pes + 14] = b"\xff" * 5  # stuffing
            continue
        b = content[pes + 9 : pes + 14]
        pts = (b[0] >> 1 & 7) << 30 | b[1] << 22 | (b[2] >> 1) << 15 | b[3] << 7 | b[4] >> 1
        pts = (pts + round(seconds * 90000)) % (1 << 33)
        content[pes + 9 : pes + 14] = bytes(
            (b[0] & 0xF1 | pts >> 29 & 0x0E, pts >> 22 & 0xFF, pts >> 14 & 0xFE | 1, pts >> 7 & 0xFF, pts << 1 & 0xFE | 1)
        )
    to.write_bytes(content)
    return to
