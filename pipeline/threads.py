"""How the numeric libraries use the cores. They read this once, when they are loaded, so it is set before any of them is."""

from __future__ import annotations

import os

COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def wait_passively() -> None:
    """Have threads that wait for each other sleep, not spin: where other work needs the cores, spinning halves the speed of all.
    A value that the user has set stays."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def use_threads(count: int) -> None:
    """Set how many threads the numeric libraries of this process take."""
    wait_passively()
    for name in COUNTS:
        os.environ[name] = str(count)
