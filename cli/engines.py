"""Start an engine, and the values that stages get by name."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from cli.databases import DATABASE

if TYPE_CHECKING:
    from cli.settings import Settings
    from pipeline.engine import Engine


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
