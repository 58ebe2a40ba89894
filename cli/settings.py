"""The settings of Farsight: those of the engine, and those of decisions, alerts, retention and review."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from pipeline.settings import EngineSettings, GroupSettings
from pipeline.settings_file import read_settings


class AlertSettings(BaseModel):
    """Who is alerted. ${VARIABLE} is taken from the environment in every value."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    cooldown_s: float = Field(60.0, ge=0, description="seconds before the same person at the same camera raises another alert")
    webhook: str | None = Field(None, description="http(s):// address that receives each alert as a POST of JSON")
    webhook_secret: str | None = Field(None, description="key that signs each POST with HMAC-SHA256")
    mqtt: str | None = Field(None, description="mqtt(s)://[user:password@]host[:port][/topic]")
    console: bool = Field(True, description="print each alert, with the person's name; false where the output is kept as a log")


class RetentionSettings(BaseModel):
    """Days that results of live cameras are kept after a track has ended; none: for ever."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    match: float | None = Field(None, ge=0, description="tracks that matched, with embeddings, images, result lines and alerts")
    no_match: float | None = Field(None, ge=0, description="tracks that matched nobody")
    not_assessable: float | None = Field(None, ge=0, description="tracks below the quality floor")
    pictures: float | None = Field(None, ge=0, description="crops and restored chips of every outcome")


class ReviewSettings(BaseModel):
    """How decisions are reviewed in the console."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    persons: int | None = Field(
        None, ge=1, le=2, description="people who have to confirm a match in the console; none: as it is set there"
    )


class Settings(EngineSettings):
    """The whole of a run's settings."""

    graphs: ClassVar[tuple[str, ...]] = ("groups", "annotate")
    secret_keys: ClassVar[tuple[str, ...]] = ("cameras", "alerts")
    run_keywords: ClassVar[frozenset[str]] = EngineSettings.run_keywords | {
        "fpir",
        "epoch",
        "epoch_clock",
        "alerts",
        "blur_bystanders",
    }
    single_valued: ClassVar[tuple[str, ...]] = ("recognizer",)  # embeddings of two recognisers must never be compared

    fpir: float = Field(
        0.01,
        gt=0,
        lt=1,
        description="false alarms allowed per passer-by who is on no list; lower: fewer of them, more misses",
    )
    annotate: list[GroupSettings] = Field(default_factory=list, description="a second graph, which draws the annotated videos")
    alerts: AlertSettings = Field(
        default_factory=lambda: AlertSettings.model_validate({}), description="who is alerted (for `live`)"
    )
    retention: RetentionSettings = Field(
        default_factory=lambda: RetentionSettings.model_validate({}), description="how long results are kept (for `live`)"
    )
    review: ReviewSettings = Field(
        default_factory=lambda: ReviewSettings.model_validate({}), description="how decisions are reviewed in the console"
    )
    watchlist: str | None = Field(None, description="database, folder or CSV of people to find (for `live`)")
    out: str | None = Field(None, description="folder for the results (for `live`)")


def load_settings(path: Path, **overrides: Any) -> Settings:
    """Read a settings file.

    Args:
        path: YAML file; ``base: other.yaml`` in it names a file whose keys it inherits.
        overrides: keys that replace those of the file, unless their value is None.

    Raises:
        SettingsError: one line that names the key, its value and what is allowed.
    """
    return read_settings(Settings, path, **overrides)
