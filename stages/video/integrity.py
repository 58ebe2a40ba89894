"""Whether a recording was read whole, and what of it was lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stages.video.clock import RAW, Clock, start_of
from stages.video.container import MOST_PIXELS, Packets
from stages.video.damage import Damage

STREAMED = RAW | {"mpegts", "mpeg"}  # whose length is only guessed, from their last stamps or their size
CLUSTERED = ("matroska,webm", "flv", "avi")  # which hold little but packets
MOST_INDEX = 0.2  # of a file
SLACK_S, SLACK = 0.5, 0.02  # containers round their length


@dataclass(frozen=True)
class Reading:
    """What there is to say at the end: ``frames`` decoded, and ``length`` in seconds as the file says, if it does."""

    frames: int
    packets: Packets
    damage: Damage
    clock: Clock
    length: float | None


def listed(container: Any) -> bool:
    """Whether the file lists its frames with their times: where it has a pause, nothing was lost."""
    return "mp4" in container.format.name


def length_of(container: Any, stream: Any, clock: Clock) -> float | None:
    """Seconds from the file's start to the end of the video, if the file says: its sound may be longer, so the container's length
    is second choice."""
    if container.format.name == "avi" and stream.frames and stream.average_rate:
        return clock.lag_s + stream.frames / float(stream.average_rate)  # its duration is of what is there
    if stream.duration:
        return clock.lag_s + float(stream.duration * stream.time_base)
    return container.duration / 1e6 if container.duration else None


def counts_of(read: Reading) -> dict[str, int]:
    """Everything that was mended or lost, by name; what did not happen is left out."""
    packets = {
        "corrupt_packets": read.packets.flagged,
        "undecodable_packets": read.packets.undecodable,
        "frames_too_large": read.packets.oversized,
    }
    told = {"frames_decoded": read.frames, **read.clock.counts, **read.damage.counts, **packets}
    return {name: count for name, count in told.items() if count}


def faults_of(read: Reading, container: Any, stream: Any) -> list[str]:
    """What was lost, in words; none if all was read."""
    packets, damage, clock, length = read.packets, read.damage.counts, read.clock, read.length
    large = f"{packets.oversized} frames are above the limit of {MOST_PIXELS // 1_000_000} million pixels"
    if not read.frames:
        return ["no frame of it can be decoded", *([large] if packets.oversized else [])]
    faults = []
    end = clock.end if stream.duration else max(clock.end, packets.others_end - start_of(container, stream))
    if length and container.format.name not in STREAMED and end + max(SLACK_S, SLACK * length) < length:
        faults.append(f"readable to {end:.1f} s of {length:.1f} s")
    elif rest := _unread(packets, container):
        faults.append(f"the file is damaged after {clock.end:.1f} s: its last {rest:.0%} could not be read")
    elif packets.cut:
        faults.append(f"the file is damaged after {clock.end:.1f} s")
    if corrupt := damage["corrupt_frames"]:
        smeared = f", {damage['smeared_frames']} more smeared by lost data" if damage["smeared_frames"] else ""
        faults.append(f"{corrupt} of {read.frames} frames are corrupt{smeared}")
    if packets.undecodable:
        faults.append(f"{packets.undecodable} packets could not be decoded")
    if packets.oversized:
        faults.append(large)
    if clock.lost_s and not listed(container):
        longest, at = clock.longest
        gaps = clock.counts["gaps_in_time"]
        where = f"at {at:.1f} s" if gaps == 1 else f"in {gaps} gaps, the longest of {longest:.1f} s at {at:.1f} s"
        faults.append(f"{clock.lost_s:.1f} s are missing {where}")
    return faults


def _unread(packets: Packets, container: Any) -> float:
    """Share of a file behind the last packet that was found, where that is too much for an index."""
    size = container.size if container.format.name in CLUSTERED else 0
    rest = 1 - packets.read_to / size if size > 0 and packets.read_to else 0.0
    return rest if rest > MOST_INDEX else 0.0
