"""Reads one source to its end: source, stages, outbox, checkpoints. Both engines use it; on Ray it runs inside an actor."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from pipeline.chain import Chain
from pipeline.checkpoints import file_stamp, pack_report, pack_state, unpack_state
from pipeline.errors import SourceError, redact, redact_url
from pipeline.protocol import Outbox, Source, SourceReport, SourceSpec
from pipeline.stage_errors import describe_fault, ends_run

SaveCheckpoint = Callable[[str, str, float, bool, bytes], None] | None


class StopFlag(Protocol):
    def is_set(self) -> bool: ...


class SourceRunner:
    """Runs sources one after another through one chain.

    Args:
        source: reads.
        chain: the stages of the first group.
        outbox: takes the results to the later groups.
        save: writes a checkpoint; None: keep none.
        every_s: seconds between checkpoints.
        settings_digest: the `fingerprint` of the settings, which a checkpoint must have.
    """

    def __init__(
        self, source: Source, chain: Chain, outbox: Outbox, save: SaveCheckpoint, every_s: float, settings_digest: str = ""
    ) -> None:
        self._settings_digest = settings_digest
        self.source, self.chain, self.outbox, self._save, self._every_s = source, chain, outbox, save, every_s

    def run(self, spec: SourceSpec, resume: tuple[float, bytes] | None, stopping: StopFlag) -> SourceReport:
        """Read one source.

        If the source breaks off, what was read before is processed to the end. If it is stopped early, a recording writes a
        checkpoint from which a resume continues; a camera's open records are finished now.

        Args:
            spec: the source.
            resume: the checkpoint ``(pts_s, state)`` to continue after; None: from the beginning.
            stopping: set from another thread to end early.

        Returns:
            How reading ended. A source that cannot be opened, or that a stage fails on, is ``failed``; a resume tries it again.

        Raises:
            Exception: an error that `ends_run`.
        """
        after, file = None, file_stamp(spec.url)
        if resume:
            after, state = resume
            self.chain.restore(unpack_state(state, self._settings_digest))
        try:
            self.source.start(spec, after)
        except SourceError as error:
            self.chain.flush()
            return SourceReport(spec.name, redact_url(spec.url), "failed", redact(str(error)))
        except Exception as error:
            if ends_run(error):
                raise
            self.chain.flush()
            return SourceReport(spec.name, redact_url(spec.url), "failed", describe_fault(error, after or 0.0))
        fault = ""
        something = False
        last = time.monotonic()
        try:
            while not stopping.is_set() and (batch := self.source.read()) is not None:
                if not batch:  # a stream broke off: finish what is open
                    self.outbox.send(self.chain.flush())
                    continue
                something = True
                found = self.chain.process(batch)
                if (captured := getattr(batch[-1], "captured", None)) is not None:
                    self.source.report().delay_s = time.time() - captured
                self.outbox.send(found)
                if time.monotonic() - last >= self._every_s:
                    self._checkpoint(spec)
                    last = time.monotonic()
        except SourceError as error:
            fault = redact(str(error))
        except Exception as error:
            return self._failed(error)
        report = self.source.report()
        report.file = file if file == file_stamp(spec.url) else ""
        if fault:
            report.status, report.reason = "incomplete" if something else "failed", fault
        if file and not report.file and something and not stopping.is_set():
            growing = "it was written to while it was read: read the rest with --resume"
            report.status, report.reason = "incomplete", "; ".join(filter(None, (report.reason, growing)))
        if stopping.is_set() and report.status == "ok":
            report.status = "stopped"
        try:
            self._bring_to_end(spec, report, something)
        except Exception as error:
            return self._failed(error)
        self.source.close()
        return report

    def _bring_to_end(self, spec: SourceSpec, report: SourceReport, something: bool) -> None:
        if report.status == "stopped" and not report.state:  # only a camera has one
            if something:
                self._checkpoint(spec)
            self.outbox.drain()
            return
        self.outbox.send(self.chain.flush())
        self.outbox.drain()
        if lost := self.outbox.set_aside_count(spec.name):
            report.counts["records set aside"] = lost
            if report.status == "ok":
                report.status = "incomplete"
                report.reason = f"{lost} records were set aside: each time they were worked on, the worker died"
        if self._save and report.status != "failed":
            self._save(spec.name, redact_url(spec.url), report.position_s, True, pack_report(report, self._settings_digest))

    def _failed(self, error: Exception) -> SourceReport:
        """Report a stage's error. What can still be finished is, and the stages are left as new for the next source."""
        if ends_run(error):
            raise error
        report = self.source.report()
        report.status, report.reason = "failed", describe_fault(error, report.position_s)
        self.outbox.abandon()
        try:
            self.outbox.send(self.chain.flush())
            self.outbox.drain()
        except Exception as another:
            if ends_run(another):
                raise
            self.outbox.abandon()
            self.chain.renew()
        self.source.close()
        return report

    def _checkpoint(self, spec: SourceSpec) -> None:
        if save := self._save:
            position, state = self.source.report().position_s, pack_state(self.chain.state(), self._settings_digest)
            self.outbox.when_written(lambda: save(spec.name, redact_url(spec.url), position, False, state))
