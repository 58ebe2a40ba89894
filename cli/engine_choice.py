"""Choose the engine for ``engine: auto``."""

from __future__ import annotations

from cli.settings import Settings
from pipeline.protocol import SourceSpec

SHORT_S = 60.0  # below this, starting Ray and its workers costs more time than it saves


def choose_engine(settings: Settings, sources: list[SourceSpec]) -> tuple[Settings, str]:
    """Replace ``auto`` by inline for one recording of at most `SHORT_S` seconds, else by Ray.

    Returns:
        The settings, and why the engine was chosen; "" if the user named it.
    """
    if settings.engine != "auto":
        return settings, ""
    engine, why = "ray", f"{len(sources)} sources"
    if len(sources) == 1:
        from stages.video.probe import file_duration

        length = file_duration(sources[0].url)
        short = length is not None and length <= SHORT_S
        engine = "inline" if short else "ray"
        why = "one source of unknown length" if length is None else f"one source of {length:.0f} s"
    return settings.model_copy(update={"engine": engine}), f"{engine}: {why}"
