"""The recordings of an output folder over several runs: names, start times, and reports of earlier runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING

from cli.common import DATABASE, console, open_store
from pipeline.checkpoints import Checkpoints, file_stamp
from pipeline.engine import Status
from pipeline.protocol import SourceReport, SourceSpec
from pipeline.sources.find import EarlierSource, address_of, reuse_names
from pipeline.sources.folders import SkippedFiles
from pipeline.sources.start_times import FROM_USER, NamePattern, StartTime, report_start_times, resolve_start_times, time_zone

if TYPE_CHECKING:
    from watchlist.store import Store

MAX_PRINTED = 3  # names on the console; run.json has them all


@dataclass(frozen=True)
class StartOptions:
    """The command's options for the start times of recordings.

    Attributes:
        given: times, or NAME=TIME if there are several sources.
        pattern: finds times in file names; None: file names are not used.
        zone: time zone of times without an offset; None: this machine's.
    """

    given: list[str] = field(default_factory=list)
    pattern: NamePattern | None = None
    zone: tzinfo | None = None

    @classmethod
    def of(cls, given: list[str] | None, pattern: str | None, zone: str | None) -> StartOptions:
        """Parse the options ``--start``, ``--start-from-name`` and ``--time-zone``. Raises SettingsError."""
        return cls(given or [], NamePattern(pattern) if pattern is not None else None, time_zone(zone))


def reuse_earlier_names(out: Path, sources: list[SourceSpec]) -> list[SourceSpec]:
    """Give sources the names they had in earlier runs into ``out``. Raises SettingsError."""
    if not (out / DATABASE).is_file():
        return sources
    store = open_store(out / DATABASE)
    checkpoints = Checkpoints(out / DATABASE)
    try:
        earlier = {r.name: EarlierSource(r.name, r.address, r.stamp) for r in store.recordings()}
        for name, url in checkpoints.urls().items():  # written by versions that stored no list of recordings
            earlier.setdefault(name, EarlierSource(name, url))
        kept = reuse_names(sources, list(earlier.values()))
        for spec in kept:
            checkpoints.update_url(spec.name, address_of(spec))
        return kept
    finally:
        checkpoints.close()
        store.close()


def store_sources(store: Store, sources: list[SourceSpec]) -> None:
    """Store the sources, so that a resume gives them the same names."""
    from watchlist.recordings import Recording

    store.put_recordings([Recording(s.name, address_of(s), file_stamp(s.url)) for s in sources])


def given_start_times(sources: list[SourceSpec], options: StartOptions) -> dict[str, StartTime]:
    """Resolve the start times that the user gives, by source name, and print the names that the pattern does not match.

    Raises:
        SettingsError: a time or a name is wrong.
    """
    starts, unfit = resolve_start_times(sources, options.given, options.pattern, options.zone)
    if unfit and options.pattern:
        console.print(f"--start-from-name {options.pattern.pattern} does not fit {_few(unfit)}", markup=False, soft_wrap=True)
    return starts


def date_tracks(store: Store, status: Status, starts: dict[str, StartTime], options: StartOptions) -> None:
    """Store the start time of each recording, and with it the time of day of its tracks. Print the recordings without one.

    Start times given by the user, in this run or an earlier one, have priority over those in the files.

    Args:
        store: the run's database.
        status: status at the end of the run; its reports get the start times.
        starts: start times that the user gives in this run, by source name.
        options: for the time zone of the reports.
    """
    read = {s.name for s in status.sources if s.started_at is not None}
    earlier = {
        r.name: StartTime(r.started_at, r.started_from)
        for r in store.recordings()
        if r.started_at is not None and (r.name not in read or r.started_from.startswith(FROM_USER))
    }
    report_start_times(status.sources, earlier | starts, options.zone)
    for report in status.sources:
        store.set_recording_start(report.name, report.started_at, report.started_from)
    undated = [s.name for s in status.sources if s.started_at is None and s.status != "failed"]
    if undated:
        hint = "tell it with --start or --start-from-name, or `search --since` leaves them out"
        console.print(f"the time of day is not known of {_few(undated)}: {hint}", markup=False, soft_wrap=True)


def earlier_reports(store: Store, out: Path, sources: list[SourceSpec]) -> list[SourceReport]:
    """Reports of the recordings that earlier runs have read and this one has not. The run's report includes their tracks."""
    now = {spec.name for spec in sources}
    reports = []
    checkpoints = Checkpoints(out / DATABASE)
    for recording in store.recordings():
        if recording.name in now:
            continue
        found = checkpoints.load(recording.name)
        if found is not None and found.done:
            report = found.report()
        else:
            reason = "an earlier run has not finished it, and it is not among the sources of this one"
            report = SourceReport(recording.name, recording.address, "stopped", reason, found.pts_s if found else 0.0)
        report.started_at, report.started_from = recording.started_at, recording.started_from
        report.choices["read"] = "by an earlier run"
        reports.append(report)
    checkpoints.close()
    return reports


def print_skipped(left_out: SkippedFiles) -> None:
    """Print which files were left out, and why."""
    reasons: dict[str, list[str]] = {}
    for path, reason in left_out.files:
        reasons.setdefault(reason, []).append(Path(path).name)
    for reason, names in reasons.items():
        console.print(f"left out: {_few(names)}: {reason}", markup=False, soft_wrap=True)
    for kind, count in left_out.counted.items():
        console.print(f"left out: {count} {kind}", markup=False, soft_wrap=True)


def _few(names: list[str]) -> str:
    more = f" and {len(names) - MAX_PRINTED} more" if len(names) > MAX_PRINTED else ""
    return ", ".join(" ".join(name.split()) for name in names[:MAX_PRINTED]) + more
