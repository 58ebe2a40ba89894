"""Settings of a run: read from YAML, checked, and shown back in ``run.json``."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.errors import SettingsError

SECRETS_IN = ("cameras", "alerts")  # keys below which no value is shown


class StageSettings(BaseModel):
    """One stage: the class to use; every other key is passed to its constructor."""

    model_config = ConfigDict(extra="allow")

    use: str = Field(description="the class, as package.module.Class")

    @property
    def keywords(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class GroupSettings(BaseModel):
    """Stages that run together in one actor, and how many such actors there are."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(description="shown in tables and logs")
    source: StageSettings | None = Field(None, description="what reads the sources; only the first group has one")
    stages: list[StageSettings] = Field(default_factory=list, description="run in this order")
    replicas: int | Literal["auto"] = Field(
        "auto", description="actors of this group; auto: one a source up to the cores for the first group, else 1"
    )
    key: list[str] = Field(
        default_factory=list, description="attributes of a record that decide its replica, so that their order is kept"
    )
    cpus: float = Field(1.0, ge=0, description="cores that Ray sets aside for each actor")
    gpus: float = Field(0.0, ge=0, description="GPUs that Ray sets aside for each actor; a share is allowed")
    threads: int | Literal["auto"] = Field(
        "auto",
        description="threads of the numeric libraries in each actor; auto: the cores over the actors of the first group",
    )
    batch: int = Field(32, ge=1, description="records processed together at most")
    wait_ms: float = Field(5.0, ge=0, description="how long a record waits for others to fill its batch")
    queue: int = Field(8, ge=1, description="batches in flight towards this group from each sender (its credits)")
    full: Literal["wait", "drop_oldest"] = Field("wait", description="what a sender does when the credits are used up")


class CameraSettings(BaseModel):
    """One live camera."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=r"^[\w.-]{1,100}$", description="unique; names its sightings")
    url: str = Field(description="rtsp(s)://, http(s):// or /dev/videoN; ${VARIABLE} is taken from the environment")
    transport: Literal["tcp", "udp"] = Field("tcp", description="how RTSP pictures travel; udp for a network that loses nothing")


class AlertSettings(BaseModel):
    """Who is told at once; in all of it ${VARIABLE} is taken from the environment."""

    model_config = ConfigDict(extra="forbid")

    cooldown_s: float = Field(60.0, ge=0, description="how long the same person at the same camera raises no other alert")
    webhook: str | None = Field(None, description="http(s):// address that gets each alert as a POST of JSON")
    webhook_secret: str | None = Field(None, description="signs each POST with HMAC-SHA256")
    mqtt: str | None = Field(None, description="mqtt(s)://[user:password@]host[:port][/topic]")


class MetricsSettings(BaseModel):
    """The address of /metrics, /healthz and /readyz."""

    model_config = ConfigDict(extra="forbid")

    host: str = Field("127.0.0.1", description="interface; there is no password, so keep it where only the monitoring reaches it")
    port: int = Field(9464, ge=0, le=65535, description="0: none")


class RetentionSettings(BaseModel):
    """Days that things are kept after a track of a live camera has ended; none: for ever."""

    model_config = ConfigDict(extra="forbid")

    match: float | None = Field(None, ge=0, description="tracks that matched, with vectors, pictures, lines and alerts")
    no_match: float | None = Field(None, ge=0, description="tracks that matched nobody")
    not_assessable: float | None = Field(None, ge=0, description="tracks that could not be judged")
    pictures: float | None = Field(None, ge=0, description="crops and restored chips of whatever outcome")


class Settings(BaseModel):
    """The whole of a run's settings."""

    model_config = ConfigDict(extra="forbid")

    engine: Literal["ray", "inline"] = Field("ray", description="ray: actors in processes; inline: everything in this process")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where the networks run")
    fpir: float = Field(0.01, gt=0, lt=1, description="false alarms allowed per passer-by who is on no list")
    checkpoint_every_s: float = Field(5.0, ge=0, description="seconds of work that an interruption may cost")
    groups: list[GroupSettings] = Field(description="the stage graph, in the order of the data", min_length=1)
    annotate: list[GroupSettings] = Field(default_factory=list, description="the second graph, which draws the annotated video")
    shared: dict[str, Any] = Field(default_factory=dict, description="keywords given to every stage that asks for them by name")
    cameras: list[CameraSettings] = Field(default_factory=list, description="live cameras (for `live`)")
    alerts: AlertSettings = Field(
        default_factory=lambda: AlertSettings.model_validate({}), description="who is told at once (for `live`)"
    )
    metrics: MetricsSettings = Field(
        default_factory=lambda: MetricsSettings.model_validate({}), description="where monitoring asks (for `live`)"
    )
    retention: RetentionSettings = Field(
        default_factory=lambda: RetentionSettings.model_validate({}), description="how long what was seen is kept (for `live`)"
    )
    watchlist: str | None = Field(None, description="database or directory of people to find (for `live`)")
    out: str | None = Field(None, description="where results go (for `live`)")


def load_settings(path: Path, **overrides: Any) -> Settings:
    """Read a YAML file; keys given as ``overrides`` and not None replace the file's.

    A file may name another one to start from with ``base:`` (a path relative to itself). Raises SettingsError that
    names the key, its value and what is allowed.
    """
    data = _read_yaml(path)
    data.update({key: value for key, value in overrides.items() if value is not None})
    try:
        settings = Settings.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        value = "***" if first["loc"] and first["loc"][0] in SECRETS_IN else repr(first.get("input"))
        if first["type"] == "extra_forbidden":
            raise SettingsError(f"{path.name}: unknown key {key!r} (value {value})") from None
        raise SettingsError(f"{path.name}: {key} = {value}: {first['msg']}") from None
    names = [camera.name for camera in settings.cameras]
    for name in names:
        if names.count(name) > 1:
            raise SettingsError(f"{path.name}: cameras: the name {name!r} is used twice")
    for group in [*settings.groups, *settings.annotate]:
        for stage in [*([group.source] if group.source else []), *group.stages]:
            _check_keywords(path.name, stage)
    if settings.groups[0].source is None:
        raise SettingsError(f"{path.name}: groups.0.source is missing: the first group must read something")
    return settings


def _read_yaml(path: Path) -> dict[str, Any]:
    data = _read_yaml_top(path)
    base = data.pop("base", None)
    if not base:
        return data
    if "base" in (below := _read_yaml_top(path.parent / str(base))):
        raise SettingsError(f"settings file {path}: base {base!r} has a base of its own")
    return {**below, **data}


def _read_yaml_top(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text())
    except OSError as error:
        raise SettingsError(f"settings file {path}: {error.strerror or error}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise SettingsError(f"settings file {path}: not YAML ({str(error).splitlines()[0]})") from None
    if not isinstance(data, dict):
        raise SettingsError(f"settings file {path}: must hold keys and values, it holds {type(data).__name__}")
    return data


def _check_keywords(file: str, stage: StageSettings) -> None:
    allowed = set(inspect.signature(stage_class(stage.use)).parameters)
    for key in stage.keywords:
        if key not in allowed:
            raise SettingsError(f"{file}: unknown key {key!r} for {stage.use}; allowed: {', '.join(sorted(allowed))}")


def stage_class(use: str) -> type[Any]:
    """The class named ``package.module.Class``. Raises SettingsError if there is none."""
    module, _, name = use.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise SettingsError(f"stage {use!r}: {error}") from None
    if not isinstance(found, type):
        raise SettingsError(f"stage {use!r} is not a class")
    return found


def build_stage(settings: StageSettings, context: dict[str, Any]) -> Any:
    """Make one stage; ``context`` (output folder, database, rate, device) fills the keywords it asks for by name."""
    cls = stage_class(settings.use)
    wanted = inspect.signature(cls).parameters
    keywords = {**{k: v for k, v in context.items() if k in wanted}, **settings.keywords}
    try:
        return cls(**keywords)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"{settings.use}: {error}") from None
