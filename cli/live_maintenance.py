"""Maintenance during `live`: follows changes of the watchlist, finishes abandoned tracks, purges old results."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from cli.common import DATABASE, ROOT, database_path
from cli.settings import RetentionSettings
from pipeline.clock_steps import ClockStepDetector

LOOK_S = 0.3  # interval at which the watchlist is checked for changes
TIDY_S = 60.0  # interval at which abandoned tracks are finished
PURGE_S = 3600.0  # interval at which old results are purged
CLOCK_STEP_S, CLOCK_TRUSTED_S = 3600.0, 86_400.0  # see `ClockStepDetector`
ABANDONED_S = 900.0  # an unfinished track without a report for this long has lost its reader


class LiveMaintenance:
    """Runs the maintenance in a thread of its own, so that it never delays the cameras.

    Args:
        watchlist: as the user named it. A database is copied into that of ``out`` whenever it changes; a folder or CSV is not
            read again.
        out: the output folder.
        retention: how long results are kept.
    """

    def __init__(self, watchlist: Path, out: Path, retention: RetentionSettings) -> None:
        path = database_path(watchlist) if watchlist.is_dir() else watchlist
        own = path.resolve() == (out / DATABASE).resolve()
        self._watchlist = path if path.is_file() and path.suffix.lower() != ".csv" and not own else None
        self._out, self._retention = out, retention
        self._seen: object = None
        self._clock = ClockStepDetector(CLOCK_STEP_S, CLOCK_TRUSTED_S)
        self._troubles: dict[Callable[[], None], str] = {}
        self._log = structlog.get_logger()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        self._thread.join(2.0)

    def _run(self) -> None:
        every_s = {self._follow: LOOK_S, self._tidy: TIDY_S, self._purge: PURGE_S}
        due = dict.fromkeys(every_s, 0.0)
        while not self._stopping.wait(LOOK_S):
            for task in every_s:
                if (now := time.monotonic()) >= due[task]:
                    due[task] = now + every_s[task]
                    self._attempt(task)

    def _attempt(self, task: Callable[[], None]) -> None:
        """Run one task. A failure is logged once and does not stop the others."""
        trouble = ""
        try:
            task()
        except Exception as error:  # a watchlist that is being replaced, a full disk: the next attempt may succeed
            trouble = str(error) or type(error).__name__
        if trouble and trouble != self._troubles.get(task):
            self._log.error("trouble", what=f"housekeeping: {trouble}")
        self._troubles[task] = trouble

    def _follow(self) -> None:
        from watchlist.store import Store

        if self._watchlist is None:
            return
        file = self._watchlist.stat()
        other = Store(self._watchlist, must_exist=True)
        try:
            state = file.st_dev, file.st_ino, other.list_version()  # the version of a replaced file starts anew
            if state != self._seen:
                store = Store(self._out / DATABASE)
                store.copy_watchlist(other)
                store.close()
                self._log.info("watchlist read", people=len(other.identities()))
                self._seen = state
        finally:
            other.close()

    def _tidy(self) -> None:
        """Finish tracks whose reader died."""
        from stages.record import json_line
        from watchlist.jsonl import append_text
        from watchlist.store import Store

        store = Store(self._out / DATABASE)
        try:
            if finished := store.finish_abandoned(time.time() - ABANDONED_S):
                append_text(self._out / "sightings.jsonl", "".join(map(json_line, finished)))
        finally:
            store.close()

    def _purge(self) -> None:
        """Purge in a process of its own, because it reads every file."""
        days = {f"--{key.replace('_', '-')}": value for key, value in self._retention if value is not None}
        step_s = self._clock.recent_step_s()
        if not days:
            return
        if step_s is not None:  # with a wrong clock all results may seem old
            raise RuntimeError(f"the clock was set by {step_s:+.0f} s; nothing is purged until it has run steadily for a day")
        options = [str(word) for pair in days.items() for word in pair]
        command = [sys.executable, str(ROOT / "run_pipeline.py"), "purge", "--db", str(self._out), *options]
        done = subprocess.run(command, capture_output=True, text=True)
        level = self._log.error if done.returncode else self._log.info
        level("purge", said=" ".join((done.stdout + done.stderr).split()))
