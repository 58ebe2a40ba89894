"""``live``: cameras, newest frame first."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.cli.common import CONFIGS, DATABASE, close_engine, console, make_engine, open_store
from pipeline.cli.run import fill_watchlist, finish, require
from pipeline.engine import Job, Status
from pipeline.errors import SettingsError
from pipeline.progress import ProgressView
from pipeline.protocol import SourceSpec
from pipeline.settings import Settings, load_settings


def command(
    config: Annotated[Path, typer.Option(help="settings with cameras, watchlist and out")],
    duration: Annotated[float | None, typer.Option(help="stop after so many seconds")] = None,
) -> None:
    """Watch cameras until stopped (Ctrl-C or SIGTERM)."""
    settings = load_settings(config, **_defaults(config))
    for key in ("cameras", "watchlist", "out"):
        if not getattr(settings, key):
            raise SettingsError(f"{config.name}: {key} is missing")
    require(Path(str(settings.watchlist)))
    out = Path(str(settings.out))
    store = open_store(out / DATABASE)
    fill_watchlist(store, Path(str(settings.watchlist)), settings)
    context: dict[str, Any] = {
        "out": out,
        "database": out / DATABASE,
        "fpir": settings.fpir,
        "device": settings.device,
        "live_seconds": duration,
        **settings.shared,
    }
    # A restart must not overwrite what was seen before: the tracks of each start have names of their own.
    context["track_prefix"] = time.strftime("%Y%m%dT%H%M%S-")
    sources = [SourceSpec(c.name, _expand(c.url)) for c in settings.cameras]
    job = Job(settings.groups, sources, context, None, 1e9)
    engine = make_engine(settings.engine)
    started = time.monotonic()
    try:
        with ProgressView("watching", console, len(sources), endless=True) as view:
            status = engine.run(job, view.update)
    except KeyboardInterrupt:
        status = Status()
    finally:
        close_engine(engine)
    raise typer.Exit(finish(settings, job, status, store, out, {"all": time.monotonic() - started}))


def _defaults(config: Path) -> dict[str, Any]:
    """The graph of the shipped ``live.yaml`` for a file that only names cameras, watchlist and out."""
    import yaml

    try:
        given = yaml.safe_load(config.read_text())
    except (OSError, yaml.YAMLError):
        return {}  # load_settings says what is wrong
    if not isinstance(given, dict) or "groups" in given or "base" in given:
        return {}
    shipped: Settings = load_settings(CONFIGS / "live.yaml")
    return {"groups": [g.model_dump() for g in shipped.groups], "annotate": []}


def _expand(url: str) -> str:
    missing = [v for v in re.findall(r"\$\{(\w+)\}", url) if v not in os.environ]
    if missing:
        raise SettingsError(f"camera url: ${{{missing[0]}}} is not set in the environment")
    return re.sub(r"\$\{(\w+)\}", lambda m: os.environ[m.group(1)], url)
