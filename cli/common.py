"""Shared by several commands: the console, databases, models, engines."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from configs import CONFIGS as CONFIGS
from pipeline.errors import SettingsError
from pipeline.file_permissions import make_database_private, make_private, require_no_links
from watchlist.output_folder import PREVIEWS as PREVIEWS

if TYPE_CHECKING:
    from cli.settings import Settings
    from pipeline.engine import Engine
    from watchlist.enrolment import Gate
    from watchlist.store import Store

ROOT = Path(__file__).resolve().parents[1]
DATABASE = "farsight.db"


class SafeConsole(Console):
    """A console that shows control characters in names, paths and messages, so that the terminal does not execute them."""

    def render_str(self, text: str, **how: Any) -> Text:
        from watchlist.names import printable

        return super().render_str(printable(text), **how)  # before widths are measured

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        from watchlist.names import printable

        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


console = SafeConsole(highlight=False)
Recognizer = Annotated[
    Path | None,
    typer.Option("--recognizer", help="ArcFace-style network (.onnx) that made the embeddings; default: the project's own"),
]


def finite(value: float | None) -> float | None:
    """Option callback that refuses "nan" and "inf", which pass every other check."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no finite number")
    return value


def database_path(named: Path) -> Path:
    """The database file, named itself or by its folder."""
    return named / DATABASE if named.is_dir() or not named.suffix else named


def open_store(path: Path, must_exist: bool = False) -> Store:
    """Open a database, and close it to other users. Raises SettingsError."""
    from watchlist.database import StoreError
    from watchlist.store import Store

    try:
        store = Store(path, must_exist)
    except StoreError as error:
        raise SettingsError(str(error)) from None
    make_database_private(path)
    if path.name == DATABASE:
        make_private(path.parent)
    return store


def open_own_list(db: Path, must_exist: bool = True) -> Store:
    """Open a database to change its watchlist. Raises SettingsError if it is read-only or a copy of another list."""
    from watchlist.sqlite_connection import StoreError

    path = database_path(db)
    if path.name == DATABASE:
        require_no_links(path.parent)
    store = open_store(path, must_exist)
    try:
        store.require_writable()
    except StoreError as error:
        raise SettingsError(str(error)) from None
    if origin := store.copied_from():
        store.close()
        raise SettingsError(f"{path}: its list is a copy of {origin}, which would undo the change: change that one")
    return store


def card_of(recognizer: str | Path | None) -> dict[str, Any]:
    """The card of a recogniser; None: the project's own. Raises SettingsError if it has no impostor scores."""
    from models import recognizer_card

    try:
        return recognizer_card(recognizer)
    except ValueError as error:
        raise SettingsError(str(error)) from None


def open_gate(
    device: str,
    detector: str | None = None,
    recognizer: str | Path | None = None,
    allow_lookalike: bool = False,
    previews: Path | None = None,
) -> tuple[Gate, str]:
    """Load the enrolment gate.

    Args:
        device: ``auto``, ``cpu`` or ``cuda``.
        detector: a detector's name or file; None: the project's own.
        recognizer: an ArcFace-style ONNX file; None: the project's own.
        allow_lookalike: enrol a person who looks like somebody else on the list.
        previews: folder for numbered pictures of photos that show several faces; None: write none.

    Returns:
        The gate, and the recogniser's digest.

    Raises:
        SettingsError: a model cannot be loaded.
    """
    from models import load_detector, load_recognizer
    from watchlist.enrolment import Gate
    from watchlist.thresholds import Thresholds

    thresholds = Thresholds(card_of(recognizer)["impostors"])
    try:
        embedder = load_recognizer(recognizer, device)
        judge = None if recognizer is None else load_recognizer(None, device)
        gate = Gate(load_detector(detector, device, 0.5), embedder, None if allow_lookalike else thresholds, previews, judge)
        return gate, embedder.digest
    except ValueError as error:
        raise SettingsError(str(error)) from None


def context_of(settings: Settings, out: Path) -> dict[str, Any]:
    """Values for stage keywords, by name. Paths are absolute, because workers of a cluster run in another folder."""
    from models.downloads import find_downloaded

    def absolute(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        path = Path(value) if Path(value).is_file() else find_downloaded(value)
        return value if path is None else str(path.resolve())

    out = out.resolve()
    shared = {key: absolute(value) for key, value in settings.shared.items()}
    return {"out": out, "database": out / DATABASE, "fpir": settings.fpir, "device": settings.device, **shared}


def make_engine(name: str) -> Engine:
    """Start the engine ``ray`` or ``inline``. From then on SIGTERM ends a run like Ctrl-C."""
    engine: Engine
    if name == "inline":
        from pipeline.inline import InlineEngine

        engine = InlineEngine()
    else:
        from pipeline.ray.recordings import RayEngine

        engine = RayEngine()
    if threading.current_thread() is threading.main_thread():  # Python allows it nowhere else
        signal.signal(signal.SIGTERM, _interrupt)  # Ray sets a handler of its own when it starts
    return engine


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
