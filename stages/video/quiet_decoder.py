"""Decodes only the groups of pictures in which something happens."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from stages.video.activity import NO_TIMES, ActivityScan, Group, Mode, grouped
from stages.video.clock import start_time_of
from stages.video.container import MAX_PIXELS, FrameDecoder
from stages.video.key_frames import KeyFrameLook

AHEAD = 2  # groups after one that decide about it
ROUNDING_S = 1.0  # before the point of a resume, from which groups are judged again


@dataclass(frozen=True)
class SkippedFrame:
    """A frame that was not decoded, with the attributes that a clock needs."""

    pts: int | None
    dts: int | None
    time_base: float
    width: int
    height: int


class QuietDecoder(FrameDecoder):
    """A frame decoder that yields a `SkippedFrame` for each frame of a quiet group.

    Args:
        container: the open container.
        stream: the video track.
        mode: ``safe`` or ``fast``.
        full_every_s: interval in seconds at which a group is decoded whatever it shows.
        after_s: PTS seconds up to which an earlier run has read the file; those groups are not decoded.

    Attributes:
        frames_skipped: frames of quiet groups, without those of the earlier run.
        seconds_skipped: their time in seconds.
        seconds_judged: time of all groups of this run in seconds.
    """

    def __init__(self, container: Any, stream: Any, mode: Mode, full_every_s: float, after_s: float | None = None) -> None:
        super().__init__(container, stream, all_tracks=True)
        self._look = KeyFrameLook(stream, MAX_PIXELS)
        self._scan = ActivityScan(mode, full_every_s, self._look, container.format.name)
        self._after_s = None if after_s is None else after_s + start_time_of(container, stream) - ROUNDING_S
        self._time_base = float(stream.time_base or 1 / 90_000)
        self._decoding = False  # whether the decoder has the group before
        self.frames_skipped, self.seconds_skipped, self.seconds_judged = 0, 0.0, 0.0

    def __iter__(self) -> Iterator[Any]:
        before: Group | None = None
        held: deque[Group] = deque()
        for group in self._groups():
            if group is not None:
                held.append(group)
            while held and (group is None or len(held) > AHEAD):
                now = held.popleft()
                yield from self._play(before, now, list(held))
                if before is not None:
                    before.reference = None  # else each group would keep all earlier ones
                now.packets = now.packets[:1]
                before = now
        yield from self._drain()

    def counts(self) -> dict[str, int]:
        """What was skipped until now, by name."""
        decoded = sum(self._scan.counts.values()) - self._scan.counts[""]
        skipped = {"groups_skipped": self._scan.counts[""], "frames_skipped": self.frames_skipped}
        return {"groups_decoded": decoded, **skipped, "seconds_skipped": round(self.seconds_skipped)}

    def describe(self) -> str:
        """Say what was skipped and why the rest was decoded, for ``run.json`` and the report."""
        counts, mode = self._scan.counts, self._scan.mode
        groups = sum(counts.values())
        if not groups:
            return f"{mode}: nothing left to read"
        share = self.seconds_skipped / self.seconds_judged if self.seconds_judged else 0.0
        text = (
            f"{mode}: {self.seconds_skipped:.0f} of {self.seconds_judged:.0f} s ({share:.0%}) not decoded: nothing happens in "
            f"{counts['']} of {groups} groups of pictures"
        )
        if not counts[""]:
            text = f"{mode}: everything was decoded, no time is gained"
        reasons = ", ".join(f"{name} {count}" for name, count in counts.most_common() if name)
        text += f"; groups decoded by reason: {reasons}" if reasons else ""
        text += f"; key frames compared: {self._look.looks}"
        return text + ("; the lines of a clock are left out" if self._look.clock_rows else "")

    def _groups(self) -> Iterator[Group | None]:
        """Every group, and None at the end."""
        for group in grouped(self._packets(), self._time_base):
            self._scan.enter(group)
            yield group
        yield None

    def _play(self, before: Group | None, group: Group, after: list[Group]) -> Iterator[Any]:
        if self._after_s is not None and group.number and group.fault != NO_TIMES and group.end_s < self._after_s:
            yield from self._skip(group)
            return
        reason = self._scan.reason(before, group, after)
        self._scan.counts[reason] += 1
        seconds = max(0.0, (after[0].start_s if after else group.end_s) - group.start_s) if group.fault != NO_TIMES else 0.0
        self.seconds_judged += seconds
        if not group.number:  # also of a resumed run
            yield from self._decode_first(group, after)
        elif reason:
            yield from self._decode_group(group)
        else:
            self.frames_skipped += len(group.packets)
            self.seconds_skipped += seconds
            yield from self._skip(group)

    def _decode_first(self, group: Group, after: list[Group]) -> Iterator[Any]:
        """Decode the first group, and skip nothing of the file if its frames have other time stamps than its packets."""
        stamps = {packet.pts for packet in group.packets}
        known, last = True, -math.inf
        for frame in self._decode_group(group):
            if not isinstance(frame, SkippedFrame):
                known &= frame.pts in stamps and frame.pts > last
                last = frame.pts if frame.pts is not None else last
            yield frame
        if not known:
            self._scan.give_up(after)

    def _decode_group(self, group: Group) -> Iterator[Any]:
        packets = group.packets
        if not self._decoding and packets[0].is_keyframe and group.fault != NO_TIMES:
            # Frames shown before the key frame refer to the group before it, which the decoder does not have.
            leading = [p for p in packets[1:] if p.pts < packets[0].pts]
            self.frames_skipped += len(leading)
            yield from self._stand_ins(leading)
            packets = [p for p in packets if p not in leading] if leading else packets
        self._decoding = True
        for packet in packets:
            yield from self._decode(packet)

    def _skip(self, group: Group) -> Iterator[Any]:
        if self._decoding:
            yield from self._drain()
        yield from self._stand_ins(group.packets)

    def _drain(self) -> Iterator[Any]:
        """The frames that the decoder holds back."""
        yield from self._decode(None)
        self._stream.codec_context.flush_buffers()
        self._decoding = False

    def _stand_ins(self, packets: list[Any]) -> Iterator[SkippedFrame]:
        width, height = self._stream.width, self._stream.height
        for packet in sorted(packets, key=lambda p: p.pts):
            if not packet.is_discard:
                yield SkippedFrame(packet.pts, packet.dts, self._time_base, width, height)
