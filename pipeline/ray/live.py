"""The Ray engine for cameras: one actor per camera. Cameras may come and go while it runs."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.engine import Job, Status, StatusCallback
from pipeline.errors import FarsightError, redact, redact_url
from pipeline.protocol import SourceReport, SourceSpec
from pipeline.ray.environment import GetTimeoutError, RayError, RayTaskError, ray
from pipeline.ray.recordings import POLL_S, RayEngine, RayRun

BACKOFF_S = (1.0, 30.0)
HEALTHY_AFTER_S = 60.0  # after a reader that lived so long, the next one starts without delay
CLOSE_S = 5.0  # for a camera's open records to be finished; two loaded cores took more than 3
FINISH_S = 4.0  # for what the later groups still hold
MAX_CAMERAS = 64

RequestedCameras = Callable[[], list[SourceSpec]]
"""Returns the cameras to read now."""


class RayLiveEngine(RayEngine):
    """Reads cameras until `stop`.

    Args:
        requested: called about twice a second for the cameras to read now.
        duration_s: end after so many seconds; None: never.
    """

    def __init__(self, requested: RequestedCameras, duration_s: float | None = None) -> None:
        super().__init__()
        self._requested, self._duration_s = requested, duration_s
        self._stopping = threading.Event()

    def run(self, job: Job, on_status: StatusCallback) -> Status:
        return _LiveRun(job, on_status, self._requested, self._duration_s, self._stopping).run()

    def stop(self) -> None:
        """End soon, with open records finished; may be called from a signal handler."""
        self._stopping.set()


@dataclass
class _Camera:
    """A camera, and the actor that reads it."""

    spec: SourceSpec
    actor: Any
    reading: Any
    since: float
    before: Counter[str] = field(default_factory=Counter)
    wait_s: float = 0.0
    retry_at: float | None = None
    why: str = ""


class _LiveRun(RayRun):
    def __init__(
        self,
        job: Job,
        on_status: StatusCallback,
        requested: RequestedCameras,
        duration_s: float | None,
        stopping: threading.Event,
    ) -> None:
        super().__init__(job, on_status)
        self.readers = MAX_CAMERAS  # as many as may come: the later groups need room for their calls
        self._requested, self._duration_s, self._stopping = requested, duration_s, stopping
        self._cameras: dict[str, _Camera] = {}
        self._leaving: list[tuple[Any, Any, float]] = []
        self._without_room: list[SourceSpec] = []

    def _make_sources(self) -> None:
        """Nothing: a camera gets its actor when it is requested."""

    def _wait_for(self, refs: list[Any]) -> None:
        while refs and not self._stopping.is_set():
            done, refs = ray.wait(refs, timeout=POLL_S)
            ray.get(done)

    def _read_all(self) -> None:
        until = None
        while not self._stopping.is_set() and (until is None or time.monotonic() < until):
            self._follow(self._requested())
            self._look(POLL_S)
            status = self._status()
            self.on_status(status)
            # Loading the networks does not count. A camera without room is stopped and never loads.
            begun = any(s.state not in ("starting", "stopped") for s in status.sources)
            if until is None and self._duration_s is not None and begun:
                until = time.monotonic() + self._duration_s
        self._end()

    def _follow(self, requested: list[SourceSpec]) -> None:
        """Start cameras that are new or changed and stop those no longer requested; the others are not touched."""
        by_name = {spec.name: spec for spec in requested}
        for name, camera in list(self._cameras.items()):
            if by_name.get(name) != camera.spec:
                self._leave(self._cameras.pop(name))
        for name, spec in by_name.items():
            if name not in self._cameras and len(self._cameras) < self.readers:
                actor = self._make_source()
                self.sources.append(actor)
                self._cameras[name] = _Camera(spec, actor, actor.run.remote(spec, None), time.monotonic())
        self._without_room = [spec for name, spec in by_name.items() if name not in self._cameras]

    def _leave(self, camera: _Camera) -> None:
        if camera.retry_at is not None:  # it has no actor at the moment
            return
        camera.actor.stop.remote()
        self._leaving.append((camera.actor, camera.reading, time.monotonic() + CLOSE_S))

    def _look(self, timeout: float) -> None:
        """Wait a little, then replace readers that ended or died."""
        reading = [c.reading for c in self._cameras.values() if c.retry_at is None]
        done = ray.wait(reading, timeout=timeout)[0] if reading else []
        if not reading:
            self._stopping.wait(timeout)
        for camera in self._cameras.values():
            if camera.reading in done:
                self._schedule_restart(camera)
            elif camera.retry_at is not None and time.monotonic() >= camera.retry_at:
                self._begin_again(camera)
        for actor, ref, until in list(self._leaving):
            if time.monotonic() > until or ray.wait([ref], timeout=0)[0]:
                self._leaving.remove((actor, ref, until))
                self._discard(actor)

    def _schedule_restart(self, camera: _Camera) -> None:
        """A reader has ended or died: find out why, and schedule a new one."""
        try:
            report = ray.get(camera.reading)
            camera.why = report.reason or "reading ended"
        except RayTaskError as error:
            if isinstance(error.cause, FarsightError):
                raise  # a new reader would fail on the same setting
            camera.why = f"{type(error.cause).__name__} in its stages"
        except RayError as error:  # dead, or killed for its memory
            camera.why = f"its actor died ({type(error).__name__})"
        if time.monotonic() - camera.since > HEALTHY_AFTER_S:
            camera.wait_s = 0.0
        camera.retry_at = time.monotonic() + camera.wait_s
        camera.wait_s = min(max(BACKOFF_S[0], 2 * camera.wait_s), BACKOFF_S[1])
        camera.before.update(self._counts_of(camera.spec.name))
        camera.before["readers replaced"] += 1
        self._discard(camera.actor)

    def _begin_again(self, camera: _Camera) -> None:
        camera.actor = self._make_source()
        self.sources.append(camera.actor)
        camera.reading, camera.since, camera.retry_at = camera.actor.run.remote(camera.spec, None), time.monotonic(), None

    def _discard(self, actor: Any) -> None:
        self.sources.remove(actor)
        ray.kill(actor)

    def _counts_of(self, name: str) -> dict[str, int]:
        """The counts of a camera's present reader at the last status."""
        seen = next((s.counts for s in self.last.sources if s.name == name), {})
        before = self._cameras[name].before
        return {key: count - before.get(key, 0) for key, count in seen.items()}

    def _status(self) -> Status:
        """The status of all cameras, with the counts of earlier readers added."""
        status = super()._status()
        known = {report.name: report for report in status.sources}
        sources = []
        for name, camera in self._cameras.items():
            report = known.get(name) or SourceReport(name, redact_url(camera.spec.url), state="starting")
            if camera.retry_at is not None:
                report = replace(report, state="backing off", reason=redact(f"starting again: {camera.why}"))
            sources.append(replace(report, counts=dict(Counter(report.counts) + camera.before)))
        for spec in self._without_room:
            why = f"no room: {self.readers} cameras fit on this machine"
            sources.append(SourceReport(spec.name, redact_url(spec.url), "failed", why, state="stopped"))
        self.last = Status(status.groups, sources)
        return self.last

    def _end(self) -> None:
        """Finish open records, within a few seconds."""
        for camera in self._cameras.values():
            camera.actor.stop.remote()
        reading = [c.reading for c in self._cameras.values() if c.retry_at is None]
        done = ray.wait(reading, num_returns=len(reading), timeout=CLOSE_S)[0] if reading else []
        before, reports = {report.name: report for report in self.last.sources}, []
        for name, camera in self._cameras.items():
            report = before.get(name) or SourceReport(name, redact_url(camera.spec.url))
            if camera.reading in done:
                try:
                    report = ray.get(camera.reading)
                    report.counts = dict(Counter(report.counts) + camera.before)
                except RayError:  # died while it stopped: keep its last status
                    pass
            reports.append(replace(report, status="stopped", state="stopped"))
        self.last = Status(super()._status().groups, reports)

    def _finish(self, actors: list[Any]) -> None:
        try:
            ray.get([actor.finish.remote() for actor in actors], timeout=FINISH_S)
        except (GetTimeoutError, RayError):  # it waits for a disk or a receiver; its counters tell what is not written
            return
