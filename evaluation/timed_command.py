"""Run a command in a fresh process, and measure its time and memory."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
# A small process starts the command: Linux counts the memory of whoever starts a process as the peak of the process itself.
LAUNCHER = """import json, os, resource, subprocess, sys, time
began = time.perf_counter()
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
row = {"seconds": time.perf_counter() - began, "cpu_s": used.ru_utime + used.ru_stime, "mb": used.ru_maxrss / 1024, "exit": code}
print(json.dumps(row))"""


def run_timed(command: list[str]) -> dict[str, Any]:
    """Run a command. Returns wall and CPU seconds, peak resident MB, exit code and the end of its error output."""
    done = subprocess.run([sys.executable, "-S", "-c", LAUNCHER, *command], cwd=ROOT, capture_output=True, text=True)
    return json.loads(done.stdout) | {"errors": done.stderr.strip()[-300:]}


def farsight_command(*words: object) -> list[str]:
    """The command line of the program with these arguments."""
    return [sys.executable, str(ROOT / "run_pipeline.py"), *map(str, words)]


def machine() -> str:
    """The machine that figures were measured on."""
    return f"{os.cpu_count()} CPU cores ({_processor()})"


def _processor() -> str:
    """Name of the processor, such as ``AMD EPYC``; its architecture if the name is unknown."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
