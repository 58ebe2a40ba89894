"""Versions of this program and of the packages that decide the results."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

from pipeline import __version__

MISSING = "not installed"
PACKAGES = ("torch", "av", "ray", "faiss-cpu", "trackers", "numpy", "opencv-python-headless")


def versions() -> dict[str, str]:
    """Versions of this program, of Python, and of the packages that decide the results."""
    found = {"farsight": __version__, "python": platform.python_version()}
    if known := commit():
        found["commit"] = known
    return found | {name: _version(name) for name in PACKAGES}


@cache
def commit() -> str:
    """The commit of this program, with "+" if files were changed since; "" if it was installed from a package."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return ""
    asked = ["git", "-C", str(root), "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return MISSING
