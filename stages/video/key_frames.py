"""Compares the key frames of a recording, without decoding the frames between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import av
import av.error
import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from stages.video.activity import Group

CELL = 8  # pixels; the mean over a cell takes an eighth of the sensor's noise
MIN_DIFFERENCE = 6.0  # grey levels by which a cell differs: noise stays at 3, a person at the far end of a corridor is above 50
EDGE_SHARE = 0.12  # of the height, at the top and the bottom, in which recorders write the time of day
ALWAYS = 0.7  # share of the first key frames in which the cells of a clock have changed
LUMA_FORMATS = frozenset("yuv420p yuvj420p yuv422p yuvj422p yuv444p yuvj444p nv12 gray".split())  # the first plane is 8-bit luma


class KeyFrameLook:
    """Decodes key frames in a decoder of its own, and compares them as cells of mean grey levels.

    Lines of text at the upper and the lower edge that change all the time (a clock) are left out. They are learned from the first
    groups. A change of brightness of the whole picture is left out too.

    Args:
        stream: the video track.
        max_pixels: limit for the decoder.

    Attributes:
        looks: number of key frames that were decoded.
    """

    def __init__(self, stream: Any, max_pixels: int) -> None:
        context = stream.codec_context
        self._decoder: Any = av.CodecContext.create(context.name, "r")
        self._decoder.extradata = context.extradata
        self._decoder.thread_count = 1
        self._decoder.options = {"max_pixels": str(max_pixels), "skip_loop_filter": "all"}
        self._learned: Group | None = None
        self._changes: NDArray[np.int64] | None = None
        self._learning = 0
        self.looks = 0

    @property
    def clock_rows(self) -> int:
        """Number of rows of cells that are left out because a clock changes in them."""
        return 0 if self._changes is None else int(self._ignored(self._changes.shape[0]).sum())

    def learn(self, group: Group) -> None:
        """Look at one of the first groups, to learn where a clock is drawn."""
        before, self._learned = self._learned, group
        if before is None:
            return
        changed = self._changed_cells(before, group)
        if changed is not None and (self._changes is None or self._changes.shape == changed.shape):
            self._changes = changed.astype(np.int64) + (0 if self._changes is None else self._changes)
            self._learning += 1

    def differ(self, before: Group, group: Group) -> bool:
        """Return whether two key frames differ, or cannot be compared."""
        changed = self._changed_cells(before, group)
        if changed is None:
            return True
        changed[self._ignored(len(changed))] = False
        return bool(changed.any())

    def _ignored(self, rows: int) -> NDArray[np.bool_]:
        """Rows of cells that are left out, bool (rows,)."""
        ignored = np.zeros(rows, bool)
        if self._changes is None or len(self._changes) != rows or not self._learning:
            return ignored
        edge = max(1, round(EDGE_SHARE * rows))
        always: NDArray[np.bool_] = np.any(self._changes >= ALWAYS * self._learning, axis=1)
        always[edge : rows - edge] = False
        ignored[always] = True
        ignored[1:] |= always[:-1]
        ignored[:-1] |= always[1:]
        return ignored

    def _changed_cells(self, before: Group, group: Group) -> NDArray[np.bool_] | None:
        one, other = self._cells(before), self._cells(group)
        if one is None or other is None or one.shape != other.shape:
            return None
        difference = other - one
        return np.asarray(np.abs(difference - np.median(difference[::4, ::4])) > MIN_DIFFERENCE)

    def _cells(self, group: Group) -> NDArray[np.float32] | None:
        """Mean grey level of each cell of a key frame, float32 (rows, columns); None if it cannot be decoded."""
        if group.cells is None and group.packets and group.packets[0].is_keyframe:
            try:
                frames = [*self._decoder.decode(group.packets[0]), *self._decoder.decode(None)]
            except av.error.FFmpegError:
                frames = []
            self._decoder.flush_buffers()
            self.looks += 1
            if frames and not frames[0].is_corrupt:
                group.cells = _mean_cells(frames[0])
        return group.cells


def _mean_cells(frame: Any) -> NDArray[np.float32]:
    size = (-(-frame.width // CELL), -(-frame.height // CELL))
    plane = frame.planes[0]
    if frame.format.name in LUMA_FORMATS:
        luma = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width]
    else:
        luma = frame.reformat(format="gray").to_ndarray()
    return cv2.resize(luma, size, interpolation=cv2.INTER_AREA).astype(np.float32)
