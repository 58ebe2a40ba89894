"""Decides from packet sizes and key frames which groups of pictures (GOPs) of a recording are decoded.

A group is a key frame and the frames that depend on it. Where nothing moves, the frames between two key frames are small, and the
two key frames show the same picture. Both are known without decoding the frames between.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stages.video.clock import MAX_GAP_S, RAW_FORMATS
from stages.video.key_frames import KeyFrameLook

Mode = Literal["off", "safe", "fast"]

WARM_UP = 16  # groups that are decoded while the quiet level of the stream becomes known
WINDOW_S = 240.0  # of groups that tell the quiet level
MIN_GROUP_S = 0.4  # shorter groups are joined
MIN_KEYS_S = 0.99  # of a group where every frame is a key frame
MIN_KEY_RATIO = 2.0  # a key frame below this multiple of the others is no whole picture (intra refresh)
HELD_BYTES = 24_000_000  # of a group that may wait for a decision
LONGEST_S = 30.0  # of a group that may wait for a decision
QUARTERS = 4  # parts of a group whose packets are compared with the same part of other groups
SIGMA_SHARE = np.array([0.04, *QUARTERS * [0.08]])  # least spread of a quiet stream, of its level: whole groups, quarters
SIGMA_BYTES = 8.0  # and in bytes a frame
QUARTER_FACTOR = 1.5  # quarters have fewer frames, and there are four of them: so many more spreads are needed

NO_TIMES = "the file has no plain time stamps"
TOO_LONG = "too long without a key frame"


@dataclass(frozen=True)
class Policy:
    """How a mode judges.

    Attributes:
        sigmas: spreads above the quiet level at which packets are active.
        look_every_s: interval at which key frames are compared; 0: every group's.
        longest_s: longest group that may be skipped, in seconds.
    """

    sigmas: float
    look_every_s: float
    longest_s: float


POLICIES = {"safe": Policy(4.0, 0.0, 5.0), "fast": Policy(6.0, 10.0, LONGEST_S)}


def activity_of(value: object) -> Mode:
    """Parse the setting. YAML reads a bare ``off`` as a boolean. Raises ValueError for other values."""
    if value is False:
        return "off"
    if value not in ("off", "safe", "fast"):
        raise ValueError(f"activity = {value!r}: must be off, safe or fast")
    return value


@dataclass(eq=False)
class Group:
    """A group of pictures that has not been decoded.

    Attributes:
        packets: its packets in decoding order; the first one is a key frame, unless the file begins within a group.
        start_s: time stamp of its first frame in seconds, of the file's own clock.
        end_s: time stamp of its last frame.
        fault: why it must be decoded, whatever it shows; "" if nothing is known.
        reference: the group whose key frame is compared with its own; None: not compared.
        cells: grey levels of its key frame, once it was looked at.
        nbytes: of its packets.
        changed: whether its key frame differs from the reference; None: not compared yet.
        large: whether its packets are above the quiet level of the stream.
        due: whether it is the first one of an interval of full searches.
        final: whether it is the last one of the file.
        number: of the group in the file, from 0.
        has_others: whether it has frames that are no key frames.
    """

    packets: list[Any]
    start_s: float = math.inf
    end_s: float = -math.inf
    fault: str = ""
    reference: Group | None = None
    cells: NDArray[np.float32] | None = None
    nbytes: int = 0
    changed: bool | None = None
    large: bool = False
    due: bool = False
    final: bool = False
    number: int = 0
    has_others: bool = False

    def add(self, packet: Any, at: float | None) -> None:
        """Add a packet, with its time stamp in seconds."""
        self.packets.append(packet)
        self.nbytes += packet.size
        self.has_others |= not packet.is_keyframe
        if at is None:
            self.fault = NO_TIMES
            return
        self.start_s, self.end_s = min(self.start_s, at), max(self.end_s, at)
        if packet.is_corrupt:
            self.fault = "a packet is damaged"

    def parts(self) -> NDArray[np.float64]:
        """Mean bytes of the frames that are no key frames: in all, and of each quarter of the group. float64 (5,)."""
        sizes = [p.size for p in self.packets[1:] if not p.is_keyframe] or [p.size for p in self.packets]
        quarters = np.array_split(np.array(sizes, np.float64), QUARTERS)
        mean = float(np.mean(sizes))
        return np.array([mean, *(part.mean() if part.size else mean for part in quarters)])


def grouped(packets: Iterator[Any], time_base: float) -> Iterator[Group]:
    """Join packets to groups of at least `MIN_GROUP_S`, or of `MIN_KEYS_S` if all are key frames.

    A group that grows above the limits is handed out in pieces. ``time_base``: seconds of a unit of the time stamps.
    """
    group = Group([])
    for packet in packets:
        if not packet.size:  # the end
            continue
        at = None if packet.pts is None else packet.pts * time_base
        elapsed_s = math.inf if at is None else at - group.start_s
        if group.packets and packet.is_keyframe and not 0 <= elapsed_s < (MIN_GROUP_S if group.has_others else MIN_KEYS_S):
            yield group
            group = Group([])
        elif group.packets and (group.nbytes > HELD_BYTES or elapsed_s > LONGEST_S):
            group.fault = group.fault or TOO_LONG
            yield group
            group = Group([])
        if not group.packets and not packet.is_keyframe:
            group.fault = TOO_LONG
        group.add(packet, at)
    if group.packets:
        group.final = True
        yield group


class QuietLevel:
    """The packet sizes of a stream where nothing moves, from a rolling window.

    Level and spread come from the lower quartile and the 5 % quantile, so that they hold as long as nothing moves in a quarter of
    the window. In a normal distribution they give its median and standard deviation.

    Args:
        sigmas: spreads above the median at which a group is active.
    """

    def __init__(self, sigmas: float) -> None:
        self._sigmas = sigmas
        self._seen: deque[tuple[float, NDArray[np.float64]]] = deque()

    def is_above(self, group: Group) -> bool:
        """Return whether a group is above the level of those before it, and add it to the window."""
        parts = group.parts()
        above = True
        if len(self._seen) >= WARM_UP:
            ordered = np.sort(np.array([seen for _, seen in self._seen]), axis=0)
            quarter, low = ordered[len(ordered) // 4], ordered[len(ordered) // 20]
            sigma = np.maximum((quarter - low) / 0.97, np.maximum(SIGMA_SHARE * quarter, SIGMA_BYTES))
            sigmas = self._sigmas * np.array([1.0, *QUARTERS * [QUARTER_FACTOR]])
            above = bool((parts > quarter + (0.67 + sigmas) * sigma).any())
        self._seen.append((group.start_s, parts))
        while len(self._seen) > WARM_UP and self._seen[0][0] < group.start_s - WINDOW_S:
            self._seen.popleft()
        return above


@dataclass
class ActivityScan:
    """Judges the groups of one recording, in order.

    Args:
        mode: ``safe`` or ``fast``.
        full_every_s: interval in seconds at which a group is decoded whatever it shows.
        look: compares key frames.
        container: format name of the container. Raw streams carry no times, so nothing of them is skipped.

    Attributes:
        counts: decoded groups by reason, and skipped ones.
    """

    mode: Mode
    full_every_s: float
    look: KeyFrameLook
    container: str = ""
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._policy = POLICIES[self.mode]
        self._level = QuietLevel(self._policy.sigmas)
        self._before: Group | None = None
        self._looked: Group | None = None
        self._stop = NO_TIMES if self.container in RAW_FORMATS else ""
        self._number = 0

    def enter(self, group: Group) -> None:
        """Take note of a group. All groups are entered in order, before one of them is judged."""
        before, self._before = self._before, group
        group.number, self._number = self._number, self._number + 1
        if group.fault == NO_TIMES or (before and not self._stop and not _follows(before, group)):
            self._stop = NO_TIMES
        if self._stop:
            group.fault = self._stop
            return
        group.due = before is None or self._slot(before, self.full_every_s) != self._slot(group, self.full_every_s)
        if before is not None and before.start_s + self._policy.longest_s < group.start_s and not before.fault:
            before.fault = TOO_LONG
        if group.final and not group.fault:
            group.fault = "the end of the file"
        if not group.fault and len(group.packets) > 1:
            rest = [p.size for p in group.packets[1:] if not p.is_keyframe]
            if rest and group.packets[0].size < MIN_KEY_RATIO * float(np.mean(rest)):
                group.fault = "key frames are no larger than the others"
        group.large = self._level.is_above(group)
        every = self._policy.look_every_s
        if not every or self._looked is None or self._slot(self._looked, every) != self._slot(group, every):
            group.reference, self._looked = self._looked, group
        if group.number < WARM_UP:
            self.look.learn(group)

    def give_up(self, entered: list[Group]) -> None:
        """Decode everything from now on: the time stamps of packets are not those of their frames."""
        self._stop = NO_TIMES
        for group in entered:
            group.fault = NO_TIMES

    def reason(self, before: Group | None, group: Group, after: list[Group]) -> str:
        """Return why a group must be decoded; "" if nothing happens in it.

        Args:
            before: the group before it.
            group: a group that was entered.
            after: the two groups after it; fewer at the end of the file.
        """
        following = [*after, None, None]
        own = self._own_reason(group, following[0])
        if own:
            return own
        near = [(before, group), (following[0], following[1])]
        return "next to activity" if any(g is not None and self._is_active(g, then) for g, then in near) else ""

    def _own_reason(self, group: Group, then: Group | None) -> str:
        if group.fault:
            return group.fault
        if group.number < WARM_UP:
            return "the start of the file"
        if group.large:
            return "packet sizes"
        if then is None or self._has_changed(then):
            return "key frames differ"
        return "set interval" if group.due else ""

    def _is_active(self, group: Group, then: Group | None) -> bool:
        """Whether something happens in a group, so that its neighbours are decoded too."""
        own = self._own_reason(group, then)
        return own in ("packet sizes", "key frames differ") or own == group.fault != ""

    def _has_changed(self, group: Group) -> bool:
        """Whether the key frame of a group differs from that of its reference."""
        if group.changed is None:
            group.changed = group.reference is not None and self.look.differ(group.reference, group)
            group.reference = None
        return group.changed

    def _slot(self, group: Group, every_s: float) -> int:
        return math.floor(group.start_s / every_s)


def _follows(before: Group, group: Group) -> bool:
    """Whether the time stamps of a group continue those of the one before it."""
    last, first = before.packets[-1].dts, group.packets[0].dts
    return before.start_s < group.start_s < before.end_s + MAX_GAP_S and not (None not in (last, first) and first <= last)
