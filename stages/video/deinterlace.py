"""Deinterlaces video. An interlaced frame weaves two fields taken 1/50 s apart, so a moving face has comb artefacts."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import av.error
import av.filter
from av.video.frame import VideoFrame

from stages.video.quiet_decoder import SkippedFrame

Mode = Literal["auto", "off", "on"]


def mode_of(value: object) -> Mode:
    """Parse the setting. YAML reads a bare ``off`` or ``on`` as a boolean. Raises ValueError for other values."""
    mode = {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value
    if mode not in ("auto", "off", "on"):
        raise ValueError(f"deinterlace = {value!r}: must be auto, off or on")
    return mode


class Deinterlacer:
    """FFmpeg's filter bwdif, one frame out for one frame in. ``count`` is the number of deinterlaced frames.

    Args:
        mode: ``auto`` deinterlaces frames that are flagged as interlaced, ``on`` all, ``off`` none.
    """

    def __init__(self, mode: Mode) -> None:
        self._mode = mode
        self._graph: Any = None
        self._kind: tuple[Any, ...] = ()
        self._waiting: deque[tuple[Any, ...]] = deque()
        self._number = 0
        self.count = 0

    def __call__(self, items: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
        """Deinterlace the frame in the first place of each item; the rest of the item stays with its frame."""
        for item in items:
            picture = item[0]
            if isinstance(picture, SkippedFrame):  # the frames on both sides of it are no neighbours
                if self._graph is not None:
                    yield from self._end()
                yield item
                continue
            wanted = self._mode == "on" or (self._mode == "auto" and picture.interlaced_frame)
            kind = (picture.width, picture.height, picture.format.name)
            if self._graph is not None and kind != self._kind:
                yield from self._end()
            if self._graph is None and wanted:
                self._begin(picture, kind)
            if self._graph is None:
                yield item
                continue
            self.count += wanted
            yield from self._pass(picture, item[1:])
        if self._graph is not None:
            yield from self._end()

    def _begin(self, picture: VideoFrame, kind: tuple[Any, ...]) -> None:
        graph = av.filter.Graph()
        try:
            source = graph.add_buffer(width=kind[0], height=kind[1], format=kind[2], time_base=picture.time_base)
            bwdif = graph.add("bwdif", f"mode=send_frame:deint={'all' if self._mode == 'on' else 'interlaced'}")
            sink = graph.add("buffersink")
            source.link_to(bwdif)
            bwdif.link_to(sink)
            graph.configure()
        except (av.error.FFmpegError, ValueError):  # a format it does not know
            self._mode = "off"
            return
        self._graph, self._kind = graph, kind

    def _pass(self, picture: VideoFrame, rest: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
        picture.pts = self._number  # whose time is known already
        self._number += 1
        self._waiting.append(rest)
        self._graph.push(picture)
        yield from self._out()

    def _end(self) -> Iterator[tuple[Any, ...]]:
        self._graph.push(None)
        yield from self._out()
        self._graph = None
        self._waiting.clear()

    def _out(self) -> Iterator[tuple[Any, ...]]:
        while self._waiting:
            try:
                picture = self._graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            yield (picture, *self._waiting.popleft())
