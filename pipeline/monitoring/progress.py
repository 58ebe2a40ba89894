"""The progress of a run on the console: a bar with the time left, and a table of the stages."""

from __future__ import annotations

import time
from collections import deque
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from pipeline.engine import Status

PLAIN_EVERY_S = 15.0
RATE_OVER_S = 5.0


class ProgressView:
    """Shows the progress of a run; a context manager. Without a terminal it prints a line every `PLAIN_EVERY_S` seconds.

    Args:
        title: what is going on.
        console: where to show it.
        total_sources: number of sources.
        endless: show cameras, and no time left.
    """

    def __init__(self, title: str, console: Console, total_sources: int, endless: bool = False) -> None:
        self._console, self._title, self._total, self._endless = console, title, total_sources, endless
        columns = [TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"), TimeElapsedColumn()]
        self._bar = Progress(*columns, *([] if endless else [TextColumn("left"), TimeRemainingColumn()]), console=console)
        self._task = self._bar.add_task(title, total=None, note="")
        self._live = Live(self._bar, console=console, refresh_per_second=4, transient=True)
        self._seen: dict[tuple[str, ...], deque[tuple[float, float]]] = {}
        self._printed = self._started = time.monotonic()

    def __enter__(self) -> ProgressView:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._live.stop()

    def update(self, status: Status) -> None:
        """Show this status; the status callback of an engine."""
        done, total, note = self._position(status)
        if self._console.is_terminal:
            self._bar.update(self._task, completed=done, total=total, note=note)
            tables = [self._table(status)]
            if self._endless:
                tables.insert(0, self._cameras(status))
            self._live.update(Group(self._bar, *tables))
        elif time.monotonic() - self._printed > PLAIN_EVERY_S:
            self._printed = time.monotonic()
            if self._endless:
                self._console.print(f"{self._title} for {time.monotonic() - self._started:.0f} s: {note}")
                return
            share = f" of {total:.0f} s" if total else ""
            self._console.print(
                f"{self._title}: {done:.0f} s{share} of video in {time.monotonic() - self._started:.0f} s, {note}"
            )

    def _position(self, status: Status) -> tuple[float, float | None, str]:
        """Seconds of video done, seconds in total, and a note. A source that is not yet open counts as the mean of the others."""
        known = [s.duration_s for s in status.sources if s.duration_s]
        if self._endless:
            streaming = sum(s.state == "streaming" for s in status.sources)
            note = f"{streaming} of {len(status.sources)} cameras streaming"
            sums = [f", {name.replace('_', ' ')}: {sum(row.values()):.2g}" for name, row in status.figures.items() if row]
            note += "".join(sums)
            return sum(s.position_s for s in status.sources), None, note
        done = sum(s.position_s if s.status != "failed" else 0.0 for s in status.sources)
        total = None if not known else max(done, sum(known) / len(known) * self._total)
        return done, total, f"{len(status.sources)} of {self._total} sources"

    def _cameras(self, status: Status) -> Table:
        table = Table(box=None, header_style="dim")
        figures = [name for name, row in status.figures.items() if row]
        headings = ("camera", "state", "searched/s", "delay", "searched", "skipped", "reconnects")
        for heading in (*headings, *(name.replace("_", " ") for name in figures)):
            table.add_column(heading, justify="left" if heading in ("camera", "state") else "right")
        for source in status.sources:
            searched = source.counts.get("frames_searched", 0)
            table.add_row(
                source.name,
                f"{source.state} ({source.reason})" if source.reason else source.state,
                f"{self._rate(searched, 'camera', source.name):.1f}",
                "" if source.delay_s is None else f"{source.delay_s:.2f} s",
                str(searched),
                str(source.counts.get("dropped_for_newer", 0)),
                str(source.counts.get("reconnects", 0)),
                *(f"{status.figures[name].get(source.name, 0.0):.2g}" for name in figures),
            )
        return table

    def _table(self, status: Status) -> Table:
        table = Table(box=None, header_style="dim")
        for heading in ("group", "stage", "in", "out", "in/s", "busy", "queue", "dropped"):
            table.add_column(heading, justify="left" if heading in ("group", "stage") else "right")
        for group in status.groups:
            first = True
            for name, row in group.stages.items():
                rate, busy = (self._rate(row[key], key, group.name, name) for key in ("records_in", "busy_s"))
                ends = (str(group.queued), str(group.dropped)) if first else ("", "")
                table.add_row(
                    group.name if first else "",
                    name,
                    f"{row['records_in']:.0f}",
                    f"{row['records_out']:.0f}",
                    f"{rate:.1f}",
                    f"{busy:.0%}",
                    *ends,
                )
                first = False
        return table

    def _rate(self, count: float, *key: str) -> float:
        """Growth of a count per second, over the last `RATE_OVER_S` seconds."""
        now, seen = time.monotonic(), self._seen.setdefault(key, deque())
        if seen and count < seen[-1][1]:  # its actor was replaced
            seen.clear()
        seen.append((now, count))
        while len(seen) > 2 and seen[1][0] <= now - RATE_OVER_S:
            seen.popleft()
        return (count - seen[0][1]) / (now - seen[0][0]) if now - seen[0][0] > 0.1 else 0.0
