"""Prepare the output folder before a run, and write the reports after it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.common import DATABASE, console, open_store
from cli.settings import Settings
from pipeline.engine import Job, Status, source_replicas, threads_for
from pipeline.errors import NothingReadError, SettingsError, redact_url
from pipeline.monitoring.summary import write_summary
from pipeline.protocol import SourceSpec
from pipeline.sources.find import address_of
from pipeline.sources.naming import stable_url

if TYPE_CHECKING:
    from watchlist.store import Store


def make_output_folder(out: Path) -> None:
    """Create the output folder. Raises SettingsError if that is not possible."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise SettingsError(f"--out {out}: is a file; name a folder") from None
    except OSError as error:
        raise SettingsError(f"--out {out}: {error.strerror or error}; name another folder") from None


def prepare_output(out: Path, resume: bool, sources: list[SourceSpec], settings_digest: str = "") -> Store:
    """Create the output folder and its database. For a resumed run, delete the tracks that it will write again.

    Args:
        out: the output folder.
        resume: whether the run continues an earlier one.
        sources: the recordings to read.
        settings_digest: the `fingerprint` that checkpoints must have; "": not checked.

    Raises:
        SettingsError: the folder cannot be written, holds a run that is not to be resumed, or checkpoints of other settings.
    """
    from pipeline.checkpoints import Checkpoints

    make_output_folder(out)
    store = open_store(out / DATABASE)
    checkpoints = Checkpoints(out / DATABASE)
    try:
        known = {spec.name: checkpoints.load(spec.name) for spec in sources}
        if not resume and (store.any_track() or any(known.values())):
            raise SettingsError(f"--out {out}: holds an earlier run; go on with --resume or name another folder")
        for spec in sources if resume else []:
            found, url = known[spec.name], redact_url(spec.url)
            if found is not None and settings_digest:
                found.require(settings_digest)
            if found is not None and stable_url(found.url) not in (stable_url(url), address_of(spec)):
                raise SettingsError(f"--resume: {spec.name} was {found.url} in the earlier run, now it is {url}")
            if store.is_camera(spec.name):
                raise SettingsError(f"--resume: {spec.name} is a live camera in {out}; name another folder")
        for spec in sources if resume else []:
            found = known[spec.name]
            if found is not None and found.has_grown(spec.url):
                console.print(f"{spec.name}: its file has changed since the earlier run: it is read again", markup=False)
                checkpoints.forget(spec.name)
                found = None
            elif found is not None and found.has_shrunk(spec.url):
                console.print(f"{spec.name}: its file is shorter now; what was found in it is kept", markup=False)
            if found is None or not found.done:
                store.delete_tracks_after(spec.name, found.pts_s if found else None)
    finally:
        checkpoints.close()
    return store


def finish(
    settings: Settings,
    job: Job,
    status: Status,
    store: Store,
    out: Path,
    elapsed: dict[str, float],
    started_after: float | None = None,
    counted_after: float | None = None,
    people: dict[str, Any] | None = None,
    *,
    summary_keys: dict[str, Any] | None = None,
    fault: str = "",
) -> int:
    """Write ``sightings.jsonl``, ``run.json`` and the report, and print the totals.

    Args:
        settings: of the run.
        job: what was run.
        status: how it ended.
        store: its database; it is closed.
        out: the output folder.
        elapsed: wall seconds by phase.
        started_after: Unix time; only later tracks are in the report, and ``sightings.jsonl`` stays as it is (``live``).
        counted_after: Unix time; only later tracks count in the totals.
        people: what `load_watchlist` returned.
        summary_keys: further keys of ``run.json``.
        fault: what went wrong with the annotated videos.

    Returns:
        The exit code: 0, or 4 if some sources failed.

    Raises:
        NothingReadError: no source could be read.
    """
    from console.report import write_report
    from stages.record import write_jsonl

    if started_after is None:
        write_jsonl(out / "sightings.jsonl", store.iter_final())
    outcomes, static = store.outcome_counts(counted_after), store.static_count(counted_after)
    readers, why = source_replicas(job) if started_after is None else (len(job.sources), "one a camera")
    choices = {"readers": f"{readers}: {why}", "threads": f"{threads_for(job.groups[0], readers)} in each reader"}
    bad = [s for s in status.sources if s.status in ("failed", "incomplete")]
    unread = [s for s in status.sources if s.status == "failed" and not s.counts.get("frames_decoded")]
    nothing = bool(status.sources) and len(unread) == len(status.sources)
    code = 3 if nothing else 4 if bad or fault else 0
    choices |= (summary_keys or {}).pop("choices", {})
    more = {"watchlist": people or {}, "static_tracks": static} | (summary_keys or {}) | ({"annotated": fault} if fault else {})
    write_summary(out / "run.json", settings, choices, status, elapsed, outcomes, more, code)
    write_report(store, out, started_after)
    store.log_audit(  # Article 12(3) of the EU AI Act: the period of each use, and the reference database
        "run",
        sources=[s.url for s in status.sources],
        fpir=settings.fpir,
        outcomes=outcomes,
        began=round(time.time() - elapsed.get("all", 0.0), 3),
        database=store.path.name,
        list_version=store.counter("watchlist"),
    )
    store.close()
    for report in bad:
        console.print(f"{report.name}: {report.status}: {report.reason} ({report.url})", markup=False, soft_wrap=True)
    if fault:
        console.print(f"annotated video: {fault}", markup=False)
    seconds = sum(s.position_s for s in status.sources)
    found = ", ".join(f"{outcomes.get(k, 0)} {k.replace('_', ' ')}" for k in ("match", "no_match", "not_assessable"))
    found += f" ({static} static)" if static else ""
    seen = f"in {seconds:.0f} s of video" if started_after is None else f"at {len(status.sources)} cameras"
    console.print(f"{sum(outcomes.values())} tracks {seen}: {found}. {elapsed['all']:.0f} s in all.", soft_wrap=True)
    console.print(f"report: {out / 'report.html'}", markup=False, soft_wrap=True)
    if nothing:
        raise NothingReadError(f"nothing could be read ({bad[0].name}: {bad[0].reason})")
    return code
