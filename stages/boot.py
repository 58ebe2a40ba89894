"""Which clock is shared: all processes of one start of one machine have the same monotonic clock."""

from __future__ import annotations

from pathlib import Path

BOOT = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """Names this start of this machine; empty where the system does not tell."""
    try:
        return BOOT.read_text().strip()
    except OSError:
        return ""
