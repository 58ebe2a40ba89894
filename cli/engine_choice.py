"""Which engine runs a job, where the user leaves that open."""

from __future__ import annotations

from cli.settings import Settings
from pipeline.protocol import SourceSpec

SHORT_S = 60.0  # starting Ray and its workers takes longer than they save on so little video


def choose_engine(settings: Settings, sources: list[SourceSpec]) -> tuple[Settings, str]:
    """The settings with an engine that is not ``auto``, and why it was chosen; "" where the user named it.

    ``auto`` is inline for one recording of at most `SHORT_S` seconds, else Ray.
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
