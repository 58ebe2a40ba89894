"""Identifies the current boot. All processes of one boot of one machine share the monotonic clock."""

from __future__ import annotations

from pathlib import Path

BOOT = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """Return the id of the current boot; empty if the system has none."""
    try:
        return BOOT.read_text().strip()
    except OSError:
        return ""
