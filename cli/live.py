"""``live``: find the people of a watchlist at live cameras."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.alert_lines import AlertPrinter
from cli.camera_file import CameraFile
from cli.common import CONFIGS, DATABASE, card_of, console, context_of, finite, open_store
from cli.live_maintenance import LiveMaintenance
from cli.output import finish, make_output_folder
from cli.run_watchlist import keep_review_rule, load_watchlist, require_watchlist
from cli.settings import AlertSettings, load_settings
from pipeline.addresses import expand_url, expand_variables
from pipeline.engine import Job, Status
from pipeline.errors import SettingsError
from pipeline.folder_lock import locked_folder
from pipeline.monitoring.log import StatusLog, configure_log
from pipeline.monitoring.progress import ProgressView
from pipeline.monitoring.status_file import StatusFile
from pipeline.settings import MetricsSettings
from stages.video.boot import boot_id

REPORTED_S = 86_400.0  # the report at the end covers the last day, and at most as many tracks as can be shown in a second
REPORTED_TRACKS = 500


def command(
    config: Annotated[Path, typer.Option(help="settings file with cameras, watchlist and out")],
    duration: Annotated[float | None, typer.Option(callback=finite, help="stop after so many seconds")] = None,
) -> None:
    """Watch live cameras until Ctrl-C or SIGTERM. Cameras may be added to and removed from the settings file meanwhile."""
    for wish in (signal.SIGTERM, signal.SIGINT):
        signal.signal(wish, _leave)
    configure_log((lambda line: console.print(line, markup=False, soft_wrap=True)) if console.is_terminal else None)
    cameras = CameraFile(config, **_defaults(config))
    settings = cameras.settings
    require_watchlist(Path(str(settings.watchlist)))
    out = Path(str(settings.out))
    alerts = _alerts(settings.alerts)
    make_output_folder(out)
    with locked_folder(out, "live"), ExitStack() as closing:
        # Before anything is loaded, so that a port in use is reported at once.
        monitor = _monitor(settings.metrics)
        if monitor:
            closing.callback(monitor.close)
        raise typer.Exit(_watch(cameras, out, alerts, duration, monitor))


def _watch(cameras: CameraFile, out: Path, alerts: dict[str, Any], duration: float | None, monitor: Any) -> int:
    """Run `live` until it is stopped. Returns the exit code."""
    from watchlist.traffic import CameraTraffic

    settings = cameras.settings
    store = open_store(out / DATABASE)
    keep_review_rule(store, settings)
    store.finish_abandoned()
    people = load_watchlist(store, Path(str(settings.watchlist)), settings)
    if store.recognizers() - {card_of(settings.shared.get("recognizer"))["sha256"]}:
        raise SettingsError(f"out: {out} holds tracks of another recogniser, and nobody could search both: name another folder")
    started, epoch = time.monotonic(), time.time()
    context = {"epoch": epoch, "epoch_clock": (boot_id(), started), "alerts": alerts, "keep_trying": True} | context_of(
        settings, out
    )
    job = Job(settings.groups, cameras.requested(), context, None, 1e9)
    engine = _engine(settings.engine, cameras, duration)
    signal.signal(signal.SIGHUP, lambda *_: cameras.request_reload())
    for wish in (signal.SIGTERM, signal.SIGINT):
        signal.signal(wish, _once(engine.stop))
    changes, file = StatusLog(), StatusFile(out, command="live", config=str(cameras.path))
    alert_printer = AlertPrinter(store, console) if settings.alerts.console else None
    traffic = CameraTraffic(store, settings.fpir, epoch)
    housekeeping = LiveMaintenance(Path(str(settings.watchlist)), out, settings.retention)
    try:
        with ProgressView("watching", console, len(job.sources), endless=True) as view:

            def watch(status: Status) -> None:
                status.figures["expected_false_alarms_a_day"] = traffic.false_alarms_a_day(s.name for s in status.sources)
                view.update(status)
                changes.update(status)
                file.update(status)
                if alert_printer:
                    alert_printer.print_new()
                if monitor:
                    monitor.update(status)

            status = engine.run(job, watch)
    except KeyboardInterrupt:  # the second signal: end at once
        status = Status()
    finally:
        engine.close()
        housekeeping.close()
        file.close()
        if alert_printer:
            alert_printer.print_new()
    begun = min(epoch, time.time() - (time.monotonic() - started))  # the system clock may have been set during the run
    since = max(begun, time.time() - REPORTED_S, store.start_of_newest(REPORTED_TRACKS) or 0.0)
    return finish(settings, job, status, store, out, {"all": time.monotonic() - started}, since, begun, people)


def _engine(name: str, cameras: CameraFile, duration: float | None) -> Any:
    if name == "inline":
        from pipeline.inline import InlineEngine

        if len(cameras.requested()) > 1:
            raise SettingsError(f"engine = 'inline' watches one camera, here are {len(cameras.requested())}: must be ray")
        return InlineEngine(duration)
    from pipeline.ray.live import RayLiveEngine

    return RayLiveEngine(cameras.requested, duration)


def _monitor(metrics: MetricsSettings) -> Any:
    if not metrics.port:
        return None
    from pipeline.monitoring.prometheus import MetricsServer

    return MetricsServer(metrics.host, metrics.port, metrics.names)


def _leave(*_: object) -> None:
    """Signal handler until the cameras are read: exit at once."""
    raise SystemExit(0)


def _once(stop: Callable[[], None]) -> Callable[..., None]:
    """Make a signal handler: the first signal calls ``stop``, further ones raise KeyboardInterrupt."""
    asked = False

    def handle(*_: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        stop()

    return handle


def _alerts(settings: AlertSettings) -> dict[str, Any]:
    """The keywords of the alert stage, with variables expanded. Addresses are checked here, so that errors reach the user."""
    from stages.alerts.configured_sinks import build_sinks

    given = settings.model_dump()
    for key, value in given.items():
        if isinstance(value, str):
            fill = expand_url if key in ("webhook", "mqtt") else expand_variables
            given[key] = fill(value, f"alerts.{key}")
    try:
        build_sinks(Path(), given)
    except ValueError as error:
        raise SettingsError(str(error)) from None
    return given


def _defaults(config: Path) -> dict[str, Any]:
    """The graph of the shipped ``live.yaml``, for a settings file without a graph of its own."""
    from pipeline.yaml_file import YamlFile

    given = YamlFile(config).data
    if "groups" in given or "base" in given:
        return {}
    shipped = load_settings(CONFIGS / "live.yaml")
    return {"groups": [g.model_dump() for g in shipped.groups], "annotate": []}
