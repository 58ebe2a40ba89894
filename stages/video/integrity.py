"""Decides whether a recording was read completely, and describes what was lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stages.video.clock import RAW_FORMATS, Clock, start_time_of
from stages.video.container import MAX_PIXELS, FrameDecoder
from stages.video.damage import DamageDetector

FORMATS_WITHOUT_DURATION = RAW_FORMATS | {"mpegts", "mpeg"}  # FFmpeg estimates their duration from time stamps or file size
PACKET_FORMATS = ("matroska,webm", "flv", "avi")  # these files consist almost entirely of packets
MAX_INDEX_SHARE = 0.2  # more of such a file behind the last packet is unreadable data, not an index
SLACK_S, SLACK = 0.5, 0.02  # tolerance of a container's duration: seconds, share


@dataclass(frozen=True)
class DecodeSummary:
    """State of the decoders at the end of a recording.

    Attributes:
        frames: number of decoded frames.
        packets: the frame decoder, with its counters.
        damage: the damage detector, with its counters.
        clock: the clock, with its counters.
        length: duration in seconds as stated by the file; None if it states none.
    """

    frames: int
    packets: FrameDecoder
    damage: DamageDetector
    clock: Clock
    length: float | None


def lists_frame_times(container: Any) -> bool:
    """Return whether the container has a table of frame times (MP4, MOV). A pause in such a file is not a loss."""
    return "mp4" in container.format.name


def duration_of(container: Any, stream: Any, clock: Clock) -> float | None:
    """Return the seconds from the start of the file to the end of the video as stated by the file; None if it states none.

    The track's duration comes first: the container's also covers the sound, which may be longer.
    """
    if container.format.name == "avi" and stream.frames and stream.average_rate:
        return clock.lag_s + int(stream.frames) / float(stream.average_rate)  # its duration only covers the readable part
    if stream.duration:
        return clock.lag_s + float(stream.duration * stream.time_base)
    return float(container.duration) / 1e6 if container.duration else None


def loss_counts(read: DecodeSummary) -> dict[str, int]:
    """Return the counters of repairs and losses by name, without zeros."""
    packets = {
        "corrupt_packets": read.packets.corrupt_packets,
        "undecodable_packets": read.packets.undecodable,
        "frames_too_large": read.packets.oversized,
    }
    counts = {"frames_decoded": read.frames, **read.clock.counts, **read.damage.counts, **packets}
    return {name: count for name, count in counts.items() if count}


def loss_reasons(read: DecodeSummary, container: Any, stream: Any) -> list[str]:
    """Describe each loss; an empty list if the recording was read completely."""
    packets, damage, clock, length = read.packets, read.damage.counts, read.clock, read.length
    large = f"{packets.oversized} frames are above the limit of {MAX_PIXELS // 1_000_000} million pixels"
    if not read.frames:
        return ["no frame of it can be decoded", *([large] if packets.oversized else [])]
    faults = []
    end = clock.end if stream.duration else max(clock.end, packets.all_tracks_end_s - start_time_of(container, stream))
    if length and container.format.name not in FORMATS_WITHOUT_DURATION and end + max(SLACK_S, SLACK * length) < length:
        faults.append(f"readable to {end:.1f} s of {length:.1f} s")
    elif rest := _unread_share(packets, container):
        faults.append(f"the file is damaged after {clock.end:.1f} s: its last {rest:.0%} could not be read")
    elif packets.truncated:
        faults.append(f"the file is damaged after {clock.end:.1f} s")
    if corrupt := damage["corrupt_frames"]:
        smeared = f", {damage['smeared_frames']} more smeared by lost data" if damage["smeared_frames"] else ""
        faults.append(f"{corrupt} of {read.frames} frames are corrupt{smeared}")
    if packets.undecodable:
        faults.append(f"{packets.undecodable} packets could not be decoded")
    if packets.oversized:
        faults.append(large)
    if clock.lost_s and not lists_frame_times(container):
        longest, at = clock.longest
        gaps = clock.counts["gaps_in_time"]
        where = f"at {at:.1f} s" if gaps == 1 else f"in {gaps} gaps, the longest of {longest:.1f} s at {at:.1f} s"
        faults.append(f"{clock.lost_s:.1f} s are missing {where}")
    return faults


def _unread_share(packets: FrameDecoder, container: Any) -> float:
    """Return the share of a file behind its last packet, or 0 where an index explains it."""
    size = container.size if container.format.name in PACKET_FORMATS else 0
    rest = 1 - packets.last_byte / size if size > 0 and packets.last_byte else 0.0
    return rest if rest > MAX_INDEX_SHARE else 0.0
