"""``run``: find the people of a watchlist in recordings."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.activity import with_activity
from cli.common import CONFIGS, console, context_of, make_engine
from cli.engine_choice import choose_engine
from cli.output import finish, make_output_folder, prepare_output
from cli.recordings import (
    StartOptions,
    date_tracks,
    earlier_reports,
    given_start_times,
    print_skipped,
    reuse_earlier_names,
    store_sources,
)
from cli.run_watchlist import keep_review_rule, load_watchlist, require_watchlist, update_decisions
from cli.settings import Settings, load_settings
from pipeline.engine import Engine, Job, Status
from pipeline.errors import Interrupted
from pipeline.folder_lock import locked_folder
from pipeline.monitoring.progress import ProgressView
from pipeline.monitoring.status_file import StatusFile
from pipeline.monitoring.summary import begin_run, end_run
from pipeline.protocol import SourceSpec
from pipeline.sources.find import find_all
from pipeline.sources.folders import SkippedFiles
from pipeline.stage_settings import fingerprint


def command(
    source: Annotated[list[str], typer.Option(help="video file, folder of videos, or URL; may be repeated")],
    watchlist: Annotated[Path, typer.Option(help="people to find: a database, a folder NAME/*.jpg|png, or a CSV")],
    out: Annotated[Path, typer.Option(help="folder for the results")],
    config: Annotated[Path, typer.Option(help="settings file")] = CONFIGS / "recording.yaml",
    engine: Annotated[str | None, typer.Option(help=Settings.model_fields["engine"].description)] = None,
    fpir: Annotated[float | None, typer.Option(help=Settings.model_fields["fpir"].description)] = None,
    activity: Annotated[
        str | None,
        typer.Option(
            help="off: decode everything; safe: skip the parts in which nothing happens; fast: skip more, and miss a few people"
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="skip finished files, continue interrupted ones, and read again those that have grown"),
    ] = False,
    no_video: Annotated[bool, typer.Option("--no-video", help="do not draw annotated videos")] = False,
    blur_bystanders: Annotated[
        bool, typer.Option("--blur-bystanders", help="blur every face without a match in the annotated videos")
    ] = False,
    start: Annotated[
        list[str] | None,
        typer.Option(help="time at which a recording began, as 2026-11-30T17:00:00; with several sources NAME=TIME, repeated"),
    ] = None,
    start_from_name: Annotated[
        str | None, typer.Option(help="pattern of the start time in file names or paths, as %Y%m%d_%H%M%S or %Y-%m-%d/%H/*/%M.%S")
    ] = None,
    zone: Annotated[
        str | None,
        typer.Option("--time-zone", help="time zone of times without an offset, as Europe/Berlin; default: this machine's"),
    ] = None,
) -> None:
    """Find the people of a watchlist in recordings."""
    from stages.video.probe import not_video_reason

    settings = with_activity(load_settings(config, engine=engine, fpir=fpir), activity)
    start_options = StartOptions.of(start, start_from_name, zone)
    found = find_all(source, not_video_reason)
    print_skipped(found.left_out)
    run = RecordingRun(
        settings, found.sources, watchlist, out, resume, not no_video, blur_bystanders, start_options, found.left_out
    )
    raise typer.Exit(run_recordings(run))


@dataclass(frozen=True)
class RecordingRun:
    """The arguments of a run over recordings.

    Attributes:
        settings: settings of the run.
        sources: the recordings.
        watchlist: people to find: a database, a folder ``NAME/*.jpg`` or a CSV.
        out: folder for the results.
        resume: continue an earlier run in ``out``.
        video: draw the annotated videos.
        blur_bystanders: pixelate every face without a match in them.
        start_options: start times of the recordings, as given by the user.
        left_out: files that were skipped, for ``run.json``.
    """

    settings: Settings
    sources: list[SourceSpec]
    watchlist: Path
    out: Path
    resume: bool = False
    video: bool = True
    blur_bystanders: bool = False
    start_options: StartOptions = field(default_factory=lambda: StartOptions())
    left_out: SkippedFiles = field(default_factory=lambda: SkippedFiles())


def run_recordings(run: RecordingRun) -> int:
    """Find the people of a watchlist in recordings, and write all results.

    Returns:
        The exit code: 0, or 4 if some sources failed.

    Raises:
        FarsightError: nothing could be read, or the results cannot be written.
    """
    from stages.video.video_tracks import split_video_tracks

    require_watchlist(run.watchlist)
    run = replace(run, sources=split_video_tracks(run.sources))
    make_output_folder(run.out)
    with locked_folder(run.out, "run"):
        try:
            return _run(run, {"left_out": run.left_out.as_json()})
        except BaseException as error:
            end_run(run.out / "run.json", error)
            raise


def _run(run: RecordingRun, summary_keys: dict[str, Any]) -> int:
    settings, sources, out = run.settings, run.sources, run.out
    began = time.monotonic()
    elapsed: dict[str, float] = {}
    if run.resume:
        sources = reuse_earlier_names(out, sources)
    starts = given_start_times(sources, run.start_options)
    settings, chosen = choose_engine(settings, sources)
    store = prepare_output(
        out, run.resume, sources, fingerprint(settings.groups, context_of(settings, out), settings.run_keywords)
    )
    summary_keys["choices"] = {"engine": chosen} if chosen else {}
    store_sources(store, sources)
    keep_review_rule(store, settings)
    begin_run(out / "run.json")
    people = load_watchlist(store, run.watchlist, settings)
    update_decisions(store, settings)
    elapsed["watchlist"] = time.monotonic() - began
    context = {"blur_bystanders": run.blur_bystanders} | context_of(settings, out)
    job = Job.of(settings, sources, context, context["database"], run.resume)
    engine, file = make_engine(settings.engine), StatusFile(out, command="run")
    elapsed["engine"] = time.monotonic() - began - elapsed["watchlist"]
    try:
        started = time.monotonic()
        with ProgressView("searching", console, len(sources)) as view:

            def watch(status: Status) -> None:
                view.update(status)
                file.update(status)

            status = engine.run(job, watch)
        elapsed["search"] = time.monotonic() - started
        fault = ""
        if run.video and settings.annotate:
            started = time.monotonic()
            fault = draw_videos(engine, settings, sources, status, context)
            elapsed["draw"] = time.monotonic() - started
    except KeyboardInterrupt:
        raise Interrupted("interrupted; what is done is kept, go on with --resume") from None
    finally:
        engine.close()
        file.close()
    elapsed["all"] = time.monotonic() - began
    date_tracks(store, status, starts, run.start_options)
    status.sources += earlier_reports(store, out, sources)
    return finish(settings, job, status, store, out, elapsed, people=people, summary_keys=summary_keys, fault=fault)


def draw_videos(engine: Engine, settings: Settings, sources: list[SourceSpec], status: Status, context: dict[str, Any]) -> str:
    """Draw the annotated videos.

    Errors are returned, not raised, because sightings and report do not depend on the videos.

    Args:
        engine: runs the second graph.
        settings: of the run; ``annotate`` is the graph.
        sources: the recordings.
        status: status at the end of the search. Sources that failed are left out, and their known faults are not repeated.
        context: values for stage keywords, by name.

    Returns:
        What went wrong; "" if nothing did.
    """
    from stages.video.special_files import is_pipe

    known = {report.name: report.reason for report in status.sources}
    readable = {report.name for report in status.sources if report.status != "failed"}
    once = [s.name for s in sources if s.name in readable and is_pipe(s.url)]
    if once:
        console.print(f"no annotated video of {', '.join(once)}: a pipe can be read once", markup=False)
    draw = [s for s in sources if s.name in readable and s.name not in once]
    if not draw:
        return ""
    try:
        with ProgressView("drawing", console, len(draw)) as view:
            drawn = engine.run(Job(settings.annotate, draw, context, None, 1e9), view.update).sources
    except Exception as error:  # of any kind: the sightings are reported in any case
        return str(error) or type(error).__name__
    return "; ".join(f"{s.name}: {s.reason}" for s in drawn if s.status != "ok" and s.reason != known[s.name])
