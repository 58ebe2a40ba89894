"""``run``: recordings and a watchlist in, sightings out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.common import CONFIGS, DATABASE, card_of, console, context_of, database_path, make_engine, open_store
from cli.engine_choice import choose_engine
from cli.enrolment import enrol_list
from cli.recordings import (
    StartOptions,
    date_tracks,
    earlier_reports,
    given_start_times,
    print_skipped,
    reuse_earlier_names,
    store_sources,
)
from cli.settings import Settings, load_settings
from pipeline.engine import Engine, Job, Status, source_replicas, threads_for
from pipeline.errors import Interrupted, NothingReadError, SettingsError, redact_url
from pipeline.folder_lock import locked_folder
from pipeline.monitoring.progress import ProgressView
from pipeline.monitoring.summary import begin_run, end_run, write_summary
from pipeline.protocol import SourceSpec
from pipeline.sources.find import address_of, find_all
from pipeline.sources.folders import SkippedFiles
from pipeline.sources.naming import stable_url
from pipeline.stage_settings import fingerprint

if TYPE_CHECKING:
    from watchlist.store import Store


def command(
    source: Annotated[list[str], typer.Option(help="a video file, a folder of them, or a URL; may be given several times")],
    watchlist: Annotated[Path, typer.Option(help="who to find: a database, a folder NAME/*.jpg|png, or a CSV")],
    out: Annotated[Path, typer.Option(help="folder for the results")],
    config: Annotated[Path, typer.Option(help="settings file")] = CONFIGS / "recording.yaml",
    engine: Annotated[str | None, typer.Option(help=Settings.model_fields["engine"].description)] = None,
    fpir: Annotated[float | None, typer.Option(help=Settings.model_fields["fpir"].description)] = None,
    resume: Annotated[bool, typer.Option("--resume", help="go on where an interrupted run stopped")] = False,
    no_video: Annotated[bool, typer.Option("--no-video", help="do not draw the annotated videos")] = False,
    blur_bystanders: Annotated[
        bool, typer.Option("--blur-bystanders", help="make every unmatched face in the video unrecognisable")
    ] = False,
    start: Annotated[
        list[str] | None,
        typer.Option(help="when a recording began, as 2026-11-30T17:00:00; with several sources NAME=TIME, several times"),
    ] = None,
    start_from_name: Annotated[
        str | None, typer.Option(help="where names or paths tell when recordings began: %Y%m%d_%H%M%S, %Y-%m-%d/%H/*/%M.%S")
    ] = None,
    zone: Annotated[
        str | None, typer.Option("--time-zone", help="of times without an offset, as Europe/Berlin; by default this machine's")
    ] = None,
) -> None:
    """Find the people of a watchlist in recordings."""
    from stages.video.probe import not_video_reason

    settings = load_settings(config, engine=engine, fpir=fpir)
    dating = StartOptions.of(start, start_from_name, zone)
    found = find_all(source, not_video_reason)
    print_skipped(found.left_out)
    code = run_recordings(settings, found.sources, watchlist, out, resume, not no_video, blur_bystanders, dating, found.left_out)
    raise typer.Exit(code)


def run_recordings(
    settings: Settings,
    sources: list[SourceSpec],
    watchlist: Path,
    out: Path,
    resume: bool,
    video: bool,
    blur: bool,
    dating: StartOptions | None = None,
    left_out: SkippedFiles | None = None,
) -> int:
    """Everything `run` does; returns the exit code."""
    from stages.video.video_tracks import split_video_tracks

    require_watchlist(watchlist)
    sources = split_video_tracks(sources)
    make_output_folder(out)
    with locked_folder(out, "run"):
        told = {"left_out": (left_out or SkippedFiles()).as_json()}
        try:
            return _run(settings, sources, watchlist, out, resume, video, blur, dating or StartOptions(), told)
        except BaseException as error:
            end_run(out / "run.json", error)
            raise


def _run(
    settings: Settings,
    sources: list[SourceSpec],
    watchlist: Path,
    out: Path,
    resume: bool,
    video: bool,
    blur: bool,
    dating: StartOptions,
    told: dict[str, Any],
) -> int:
    began = time.monotonic()
    elapsed: dict[str, float] = {}
    if resume:
        sources = reuse_earlier_names(out, sources)
    starts = given_start_times(sources, dating)
    settings, chosen = choose_engine(settings, sources)
    store = prepare_output(out, resume, sources, fingerprint(settings.groups, context_of(settings, out), settings.run_keywords))
    told["choices"] = {"engine": chosen} if chosen else {}
    store_sources(store, sources)
    begin_run(out / "run.json")
    people = load_watchlist(store, watchlist, settings)
    if resume:
        update_decisions(store, settings)
    elapsed["watchlist"] = time.monotonic() - began
    context = {"blur_bystanders": blur} | context_of(settings, out)
    job = Job.of(settings, sources, context, context["database"], resume)
    engine = make_engine(settings.engine)
    elapsed["engine"] = time.monotonic() - began - elapsed["watchlist"]
    try:
        started = time.monotonic()
        with ProgressView("searching", console, len(sources)) as view:
            status = engine.run(job, view.update)
        elapsed["search"] = time.monotonic() - started
        fault = ""
        if video and settings.annotate:
            started = time.monotonic()
            fault = draw_videos(engine, settings, sources, status, context)
            elapsed["draw"] = time.monotonic() - started
    except KeyboardInterrupt:
        raise Interrupted("interrupted; what is done is kept, go on with --resume") from None
    finally:
        engine.close()
    elapsed["all"] = time.monotonic() - began
    date_tracks(store, status, starts, dating)
    status.sources += earlier_reports(store, out, sources)
    return finish(settings, job, status, store, out, elapsed, people=people, told=told, fault=fault)


def draw_videos(engine: Engine, settings: Settings, sources: list[SourceSpec], status: Status, context: dict[str, Any]) -> str:
    """Draw the annotated videos; returns what went wrong, because sightings and report do not depend on them. Faults that reading
    had as well are known."""
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
    except Exception as error:  # whatever it is, what was found is still to be told
        return str(error) or type(error).__name__
    return "; ".join(f"{s.name}: {s.reason}" for s in drawn if s.status != "ok" and s.reason != known[s.name])


def require_watchlist(watchlist: Path) -> None:
    if not watchlist.exists():
        raise SettingsError(f"--watchlist {watchlist}: no such file or folder")


def make_output_folder(out: Path) -> None:
    """Make the output folder. Raises SettingsError where it cannot be."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise SettingsError(f"--out {out}: is a file; name a folder") from None
    except OSError as error:
        raise SettingsError(f"--out {out}: {error.strerror or error}; name another folder") from None


def prepare_output(out: Path, resume: bool, sources: list[SourceSpec], settings_digest: str = "") -> Store:
    """Make the output folder and its database. For a resumed run, delete the tracks that it will make again.

    Args:
        out: the output folder.
        resume: whether the run continues an earlier one.
        sources: what will be read.
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


def load_watchlist(store: Store, watchlist: Path, settings: Settings) -> dict[str, Any]:
    """Bring the people into the run's own database: copied from another, or enrolled from photos. Returns what ``run.json`` tells
    of it."""
    if (watchlist.is_file() and watchlist.suffix.lower() != ".csv") or (watchlist.is_dir() and (watchlist / DATABASE).is_file()):
        path = database_path(watchlist)
        if path.resolve() != store.path.resolve():
            other = open_store(path, must_exist=True)
            store.copy_watchlist(other)
            other.close()
        else:
            store.detach_list()
        check_recognizer(store, settings.shared.get("recognizer"))
        require_active_people(store)
        return {"not_looked_for": store.inactive_names()}
    store.detach_list()
    record = enrol_list(store, watchlist, settings)
    require_active_people(store)
    return record


def update_decisions(store: Store, settings: Settings) -> None:
    """Compare what an earlier run has finished with the list and the rate of this one: the report speaks of one of each."""
    from watchlist.database import StoreError
    from watchlist.decision import redecide_tracks

    card = card_of(settings.shared.get("recognizer"))
    try:
        changed = redecide_tracks(store, card["sha256"], store.thresholds(card), settings.fpir)
    except StoreError as error:
        raise SettingsError(f"--resume: {error}") from None
    if changed:
        console.print(f"{changed} tracks of the earlier run were decided anew, for this watchlist and rate")


def check_recognizer(store: Store, recognizer: str | None) -> None:
    from watchlist.gallery import Gallery

    try:
        Gallery(store, card_of(recognizer)["sha256"])
    except ValueError as error:
        raise SettingsError(f"{store.path}: {error}") from None


def require_active_people(store: Store) -> None:
    """Say who on the list is not looked for. Raises SettingsError if that is everybody."""
    if not len(store.active_photos()[0]):
        raise SettingsError(f"{store.path}: nobody in it is looked for (none enrolled, or all disabled or expired)")
    absent = store.inactive_names()
    if absent:
        console.print(f"not looked for (disabled or expired): {', '.join(absent)}", markup=False)


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
    told: dict[str, Any] | None = None,
    fault: str = "",
) -> int:
    """Write ``sightings.jsonl``, ``run.json`` and the report, tell the user, and decide the exit code.

    With ``started_after`` (Unix time) only the tracks since then are in the report, and the lines are left as they are. Totals
    are of all tracks, or of all since ``counted_after``. ``people``: what `load_watchlist` told; ``told`` is put into
    ``run.json`` as it is; ``fault`` is what went wrong with the annotated videos.
    """
    from console.report import write_report
    from stages.record import write_jsonl

    if started_after is None:
        write_jsonl(out / "sightings.jsonl", store.iter_final())
    outcomes = store.outcome_counts(counted_after)
    readers, why = source_replicas(job) if started_after is None else (len(job.sources), "one a camera")
    choices = {"readers": f"{readers}: {why}", "threads": f"{threads_for(job.groups[0], readers)} in each reader"}
    bad = [s for s in status.sources if s.status in ("failed", "incomplete")]
    unread = [s for s in status.sources if s.status == "failed" and not s.counts.get("frames_decoded")]
    nothing = bool(status.sources) and len(unread) == len(status.sources)
    code = 3 if nothing else 4 if bad or fault else 0
    choices |= (told or {}).pop("choices", {})
    more = {"watchlist": people or {}} | (told or {}) | ({"annotated": fault} if fault else {})
    write_summary(out / "run.json", settings, choices, status, elapsed, outcomes, more, code)
    write_report(store, out, started_after)
    store.log_audit("run", sources=[s.url for s in status.sources], fpir=settings.fpir, outcomes=outcomes)
    store.close()
    for report in bad:
        console.print(f"{report.name}: {report.status}: {report.reason} ({report.url})", markup=False, soft_wrap=True)
    if fault:
        console.print(f"annotated video: {fault}", markup=False)
    seconds = sum(s.position_s for s in status.sources)
    found = ", ".join(f"{outcomes.get(k, 0)} {k.replace('_', ' ')}" for k in ("match", "no_match", "not_assessable"))
    seen = f"in {seconds:.0f} s of video" if started_after is None else f"at {len(status.sources)} cameras"
    console.print(f"{sum(outcomes.values())} tracks {seen}: {found}. {elapsed['all']:.0f} s in all.", soft_wrap=True)
    console.print(f"report: {out / 'report.html'}", markup=False, soft_wrap=True)
    if nothing:
        raise NothingReadError(f"nothing could be read ({bad[0].name}: {bad[0].reason})")
    return code
