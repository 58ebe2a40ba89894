"""Memory of a process tree."""

from __future__ import annotations

import subprocess
from pathlib import Path


def total_pss_mb(root: int) -> float:
    """Memory of a process and all its descendants in MiB, as proportional set size (PSS): shared pages count once."""
    rows = [
        line.split() for line in subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True).stdout.splitlines()[1:]
    ]
    family = {root}
    while True:
        grown = family | {int(pid) for pid, parent in rows if int(parent) in family}
        if grown == family:
            break
        family = grown
    total = 0.0
    for pid in family:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) / 1024
    return total
