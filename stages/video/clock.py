"""Gives each frame its time in PTS seconds. The only place where time stamps are read, repaired and counted."""

from __future__ import annotations

import statistics
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from itertools import islice, pairwise
from typing import Any

from av.stream import Disposition
from av.video.frame import VideoFrame

TICK_S = 0.0015  # containers round to milliseconds, so the difference of two stamps is off by up to this much
UNKNOWN_RATE = 25.0
LOOKAHEAD = 9  # frames that are held at most while an odd stamp is judged by those after it
LOOKAHEAD_BYTES = 100_000_000  # fewer of large ones
GAP_S, GAP_STEPS = 0.5, 4  # a pause is a gap from so many seconds, and so many of the longest intervals lately
NEAR_S, FAR_S = 0.25, 60.0  # how far ahead a stamp may be to need one witness, or three; beyond it all that are held
MAX_GAP_S = 7 * 86400.0  # beyond it somebody has set the clock
MAX_LAG_S = 3600.0  # that a video may begin after its sound
FRAMES_PER_GAP = 20  # frames to a gap, below which gaps are the rule
MIN_INTERVALS = 4  # intervals that are needed to know the pace
INTERVAL_TOLERANCE, MOST = 0.25, 0.8  # frames come evenly if most of the intervals are so near the usual one
RAW_FORMATS = frozenset(
    "h264 hevc vvc m4v mjpeg mpegvideo vc1 h263 h261 obu cavsvideo dirac".split()
)  # formats that carry no times

TimedFrame = tuple[VideoFrame, float]


def at_least(elapsed_s: float, setting_s: float) -> bool:
    """Return whether the time between two frames is at least a setting, within the rounding of containers and floats."""
    return elapsed_s >= setting_s - TICK_S


def more_than(elapsed_s: float, setting_s: float) -> bool:
    """Return whether the time between two frames is more than a setting, within the rounding of containers and floats."""
    return elapsed_s > setting_s + TICK_S


def frame_rate_of(container: Any, stream: Any) -> tuple[float, str]:
    """Return frames per second and its origin: ``container``, ``codec`` or ``nobody`` (then 25).

    Demuxers of raw streams always report 25, so for these only the codec is used.
    """
    codec, told = getattr(stream.codec_context, "framerate", None), stream.average_rate
    for rate, who in ((codec, "codec"),) if container.format.name in RAW_FORMATS else ((told, "container"), (codec, "codec")):
        if rate and 0 < float(rate) <= 1000:
            return float(rate), who
    return UNKNOWN_RATE, "nobody"


def start_time_of(container: Any, stream: Any) -> float:
    """Return the time stamp, in seconds, at which players start to count: of the first sound or frame of the file."""
    own = _seconds(stream, stream.start_time)
    if own is None:
        return 0.0
    parts = (s for s in container.streams if s.type in ("video", "audio") and not s.disposition & Disposition.attached_pic)
    starts = [_seconds(s, s.start_time) for s in parts]
    first = min(s for s in starts if s is not None)
    if container.format.name == "avi" and stream.average_rate:  # which has times of decoding only: FFmpeg shows frames later
        first += stream.codec_context.reorder_depth / float(stream.average_rate)
    return first if own - first <= MAX_LAG_S else own


class Clock:
    """Gives each decoded frame its time: increasing seconds from the start of the file, as a player shows them.

    A stamp that is missing, or that contradicts the following ones, is interpolated from its neighbours. Where stamps jump back
    for good (joined files, a counter that restarts) time continues. A pause is kept and counted.

    Args:
        container: the open container.
        stream: the video track.
        resumed: the first frame is not the first one of the file.
        low_latency: accept a frame's stamp after one following frame instead of three.

    Attributes:
        rate: nominal frames per second.
        last: time of the last frame in seconds.
        counts: number of repairs and pauses by name.
        longest: length and start of the longest pause in seconds.
        gap: whether frames are missing before the last frame, by the regular interval of the others.
    """

    def __init__(self, container: Any, stream: Any, resumed: bool = False, low_latency: bool = False) -> None:
        self.rate, self._rate_source = frame_rate_of(container, stream)
        self._base = float(stream.time_base or 1 / 90000)
        self._offset_s = -start_time_of(container, stream)
        self._witnesses = 1 if low_latency else 3
        self._resumed, self._raw = resumed, container.format.name in RAW_FORMATS
        self.lag_s = (_seconds(stream, stream.start_time) or 0.0) + self._offset_s  # of the video, behind the start of the file
        self._recent: deque[float] = deque(maxlen=16)
        self._early: list[tuple[float, float]] = []  # pauses before the pace was known: how long, and when
        self.frame_interval_s = 1 / self.rate  # from one frame to the next, usually
        self._stamp_kind = ""  # of stamp the frames have: pts, dts or none
        self._number = 0
        self.last: float | None = None
        self.counts: Counter[str] = Counter()
        self.longest: tuple[float, float] = (0.0, 0.0)  # gap: seconds, and when it began
        self._lost_s = 0.0
        self.gap = False  # in an even flow, before the frame that came last

    @property
    def lost_s(self) -> float:
        """Seconds missing between frames of a regular interval; 0 where pauses are common, as in motion-triggered recordings."""
        gaps = self.counts["gaps_in_time"]
        return 0.0 if gaps > 1 and gaps * FRAMES_PER_GAP > self._number else self._lost_s

    @property
    def end(self) -> float:
        """End of the last frame in seconds."""
        return (self.last + self.frame_interval_s) if self.last is not None else 0.0

    def slot(self, pts_s: float, every: int) -> int:
        """Return the index of the group of ``every`` frames, at the nominal rate, that a time falls into."""
        return round(pts_s * self.rate) // every

    def describe(self) -> str:
        """Describe the origin of the times and the repairs, for ``run.json``."""
        rate = f"{self.rate:g} frames/s " + ("assumed" if self._rate_source == "nobody" else f"by its {self._rate_source}")
        counted = self._stamp_kind == "none" or self._raw
        told = [f"the file has no times: {rate}" if counted else "order of decoding" if self._stamp_kind == "dts" else "PTS"]
        told += [f"{name.replace('_', ' ')}: {count}" for name, count in sorted(self.counts.items()) if count]
        if self.longest[0]:
            told.append(f"longest gap: {self.longest[0]:.1f} s at {self.longest[1]:.1f} s")
        return "; ".join(told)

    def stamp(self, picture: VideoFrame) -> float | None:
        """Return the frame's own time stamp in seconds, None if it has none."""
        raw = picture.dts if self._stamp_kind == "dts" else picture.pts
        return None if raw is None else raw * float(picture.time_base or self._base)

    def timestamped(self, pictures: Iterable[VideoFrame]) -> Iterator[TimedFrame]:
        """Yield each frame with its time. At a suspicious stamp, up to `LOOKAHEAD` frames are held back to judge it."""
        held: deque[tuple[VideoFrame, float | None]] = deque()
        for picture in pictures:
            if not self._stamp_kind:
                self._stamp_kind = "pts" if picture.pts is not None else "dts" if picture.dts is not None else "none"
                if self._stamp_kind == "dts" or self._raw:  # counted from the first on
                    self._offset_s = -(self.stamp(picture) or 0.0)
            held.append((picture, self.stamp(picture)))
            most = max(2, min(LOOKAHEAD, LOOKAHEAD_BYTES // (3 * picture.width * picture.height)))
            while held and (now := self._resolve([s for _, s in held], len(held) >= most)) is not None:
                yield held.popleft()[0], now
        while held:
            now = self._resolve([s for _, s in held], True)
            assert now is not None
            yield held.popleft()[0], now
        for elapsed_s, at in self._early:
            if self._is_gap(elapsed_s):
                self._count_gap(elapsed_s, at)

    def _resolve(self, stamps: list[float | None], decide: bool) -> float | None:
        """Return the time of the first frame, given the stamps of the held frames; None to hold more, unless ``decide``."""
        self._number += 1
        self.gap = False
        if self._stamp_kind == "none":
            return self._advance(self._number / self.rate - 1 / self.rate)
        found = self._resolve_first(stamps, decide) if self.last is None else self._resolve_next(stamps, decide)
        if found is None:
            self._number -= 1
            return None
        return self._advance(found)

    def _resolve_first(self, stamps: list[float | None], decide: bool) -> float | None:
        """Resolve the first frame of the source. If its stamp contradicts the following consistent ones, they decide."""
        known = [(place, stamp) for place, stamp in enumerate(stamps) if stamp is not None]
        if len(known) < self._witnesses and not decide:
            return None
        if not known:
            return 0.0
        near = max(FAR_S, GAP_STEPS * self.frame_interval_s)
        first = next((place for place, ((_, a), (_, b)) in enumerate(pairwise(known)) if 0 < b - a <= near), 0)
        place, stamp = known[first]
        if first:
            self.counts["times_mended"] += 1
        if place:
            stamp -= place * self.frame_interval_s
        if not self._resumed and (stamp + self._offset_s < -TICK_S or (first and stamp + self._offset_s > near)):
            self._offset_s = -stamp
        return max(0.0, stamp + self._offset_s)

    def _resolve_next(self, stamps: list[float | None], decide: bool) -> float | None:
        """Resolve any later frame."""
        assert self.last is not None
        last, step = self.last, self.frame_interval_s
        times = [None if s is None else s + self._offset_s for s in stamps]
        now = times[0]
        later = [(place, time) for place, time in enumerate(times) if place and time is not None]
        if now is None:
            if not later and not decide:
                return None
            self.counts["times_filled_in"] += 1
            return self._interpolate(*later[0]) if later else last + step
        ahead = now - last
        if TICK_S < ahead <= 1.5 * step + TICK_S:
            return self._accept(now)
        if ahead > 0:
            back = next(((place, time) for place, time in later if last < time < now), None)
            if back:
                self.counts["times_mended"] += 1
                return self._interpolate(*back)
            witnesses = 1 if ahead <= NEAR_S else 3 if ahead <= FAR_S else LOOKAHEAD
            if len(later) < witnesses and not decide:
                return None
            if ahead > MAX_GAP_S:
                return self._bridge_jump(now)
            if not later and self._is_gap(ahead) and not self.counts["gaps_in_time"]:  # nothing comes after it
                self.counts["times_mended"] += 1
                return last + step
            return self._accept(now)
        on = next(((place, time) for place, time in later if time > last + TICK_S), None)
        if on:
            self.counts["times_mended"] += 1
            return self._interpolate(*on)
        if not decide:
            return None
        seen = [now, *(time for _, time in later)]
        if sum(a < b for a, b in pairwise(seen)) > len(seen) // 2:
            return self._bridge_jump(now)
        self.counts["times_mended"] += 1
        return last + step

    def _interpolate(self, place: int, time: float) -> float:
        """Interpolate the time of a frame without a usable stamp, ``place`` frames before the one at ``time``."""
        assert self.last is not None
        fair = 0 < time - self.last <= (place + 1) * max(2 * self.frame_interval_s, GAP_S)
        return self.last + ((time - self.last) / (place + 1) if fair else self.frame_interval_s)

    def _bridge_jump(self, now: float) -> float:
        assert self.last is not None
        self.counts["jumps_bridged"] += 1
        self._offset_s += self.last + self.frame_interval_s - now
        return self.last + self.frame_interval_s

    def _accept(self, now: float) -> float:
        """Accept a time, and count the pause before it if there is one."""
        assert self.last is not None
        elapsed_s, recent = now - self.last, self._recent
        if self._is_gap(elapsed_s):
            self.gap = self._is_even()
            self._count_gap(elapsed_s, self.last)
            return now
        if (
            len(recent) < MIN_INTERVALS
            and len(self._early) < MIN_INTERVALS
            and elapsed_s > max(GAP_S, GAP_STEPS * self.frame_interval_s)
        ):
            self._early.append((elapsed_s, self.last))  # a gap or the pace of the film: judged when that is known
            return now
        recent.append(elapsed_s)
        self.frame_interval_s = statistics.median(islice(recent, max(0, len(recent) - 9), None))
        return now

    def _is_gap(self, elapsed_s: float) -> bool:
        return len(self._recent) >= MIN_INTERVALS and elapsed_s > max(GAP_S, GAP_STEPS * max(self._recent))

    def _is_even(self) -> bool:
        """Return whether the recent frames have a regular interval."""
        return sum(
            abs(t - self.frame_interval_s) <= INTERVAL_TOLERANCE * self.frame_interval_s + TICK_S for t in self._recent
        ) >= MOST * len(self._recent)

    def _count_gap(self, elapsed_s: float, at: float) -> None:
        self.counts["gaps_in_time"] += 1
        self.longest = max(self.longest, (elapsed_s, at))
        if self._is_even():
            self._lost_s += elapsed_s - self.frame_interval_s

    def _advance(self, now: float) -> float:
        """Set the time of the current frame; it always increases."""
        now = round(now, 6)
        self.last = now if self.last is None else max(now, round(self.last + 1e-6, 6))
        return self.last


def has_plain_timestamps(packets: Iterable[Any], until_s: float, start_s: float) -> bool:
    """Return whether the stamps of packets need no repair up to ``until_s``.

    Only then does seeking into the file give the same times as reading it from the start.
    """
    before = latest = None
    for packet in packets:
        if not packet.size:
            continue
        if packet.pts is None or (before is not None and packet.dts is not None and packet.dts <= before):
            return False
        before, now = packet.dts, float(packet.pts * packet.time_base) - start_s
        if latest is not None and now > latest + MAX_GAP_S:
            return False
        latest = now if latest is None else max(now, latest)
        if now > until_s:
            return True
    return True


def _seconds(stream: Any, time: int | None) -> float | None:
    return None if time is None or not stream.time_base else float(time * stream.time_base)
