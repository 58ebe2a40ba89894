"""Threads of the numeric libraries. They read these variables once, when they are loaded, so set them before any is imported."""

from __future__ import annotations

import os

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def set_passive_wait() -> None:
    """Let OpenMP threads sleep while they wait for each other, unless the user has set the variable.

    Spinning threads halve the speed of a machine whose cores are needed by other processes.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def set_thread_count(count: int) -> None:
    """Set the number of threads of the numeric libraries in this process."""
    set_passive_wait()
    for name in THREAD_VARIABLES:
        os.environ[name] = str(count)
