"""What recordings and cameras have in common: one source at a time, its report, and a way to stop."""

from __future__ import annotations

import threading

from pipeline.errors import redact_url
from pipeline.protocol import SourceReport, SourceSpec


class VideoSource:
    """Base of the sources. A subclass reads frames, and ends when the event ``_stop`` is set."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._report = SourceReport("", "")
        self._spec = SourceSpec("", "")

    def report(self) -> SourceReport:
        """State, position, counters and choices of the current source."""
        return self._report

    def stop(self) -> None:
        """End reading soon; may be called from another thread."""
        self._stop.set()

    def close(self) -> None:
        """Release the current source."""
        self._stop.set()

    def _begin(self, spec: SourceSpec) -> None:
        """Close the current source, and start a report for the next."""
        self.close()
        self._stop.clear()
        self._spec = spec
        self._report = SourceReport(spec.name, redact_url(spec.url))
