"""Settings of a run: read from YAML, checked, and shown back in ``run.json``."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

import yaml
from pydantic import BaseModel, ConfigDict, Field, PydanticUserError, TypeAdapter, ValidationError

from pipeline.errors import SECRET, SettingsError

SECRETS_IN = ("cameras", "alerts")  # keys below which no value is shown
NOT_SHARED = {"out", "database", "fpir", "device", "epoch", "alerts", "blur_bystanders"}  # told to stages by other means


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
    replicas: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto", description="actors of this group; auto: one a source up to the cores for the first group, else 1"
    )
    key: list[str] = Field(
        default_factory=list, description="attributes of a record that decide its replica, so that their order is kept"
    )
    cpus: float = Field(1.0, ge=0, description="cores that Ray sets aside for each actor")
    gpus: float = Field(0.0, ge=0, description="GPUs that Ray sets aside for each actor; a share is allowed")
    threads: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto",
        description="threads of the numeric libraries in each actor; auto: the cores over the actors of the first group",
    )
    batch: int = Field(32, ge=1, description="records processed together at most")
    wait_ms: float = Field(5.0, ge=0, description="how long a record waits for others to fill its batch")
    queue: int = Field(8, ge=1, description="batches in flight towards this group from each sender (its credits)")
    full: Literal["wait", "drop_oldest"] = Field(
        "wait", description="what a sender does when the credits are used up: wait, or drop the oldest (drop_oldest)"
    )


class CameraSettings(BaseModel):
    """One live camera."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=r"^[\w.-]{1,100}$", description="unique; names its sightings")
    url: str = Field(description="rtsp(s)://, http(s):// or /dev/videoN; ${VARIABLE} is taken from the environment")
    transport: Literal["tcp", "udp"] = Field("tcp", description="how RTSP pictures travel; udp for a network that loses nothing")
    patience_s: Annotated[float, Field(ge=3, le=3600)] | Literal["auto"] = Field(
        "auto",
        description="how long it may send nothing before it is connected anew; auto: four of its own intervals, at least 8 s",
    )
    poll_s: float = Field(
        0.5, ge=0.05, le=3600, description="seconds between two requests, where the address gives a single picture (JPEG)"
    )


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
    watchlist: str | None = Field(None, description="database, folder or CSV of people to find (for `live`)")
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
        raise SettingsError(f"{path.name}: {_first_of(error)}") from None
    names = [camera.name for camera in settings.cameras]
    for name in names:
        if names.count(name) > 1:
            raise SettingsError(f"{path.name}: cameras: the name {name!r} is used twice")
    _check_stages(path.name, settings)
    return settings


def _first_of(error: ValidationError) -> str:
    """The first mistake as key, value and what is allowed; values that may be secret are not shown."""
    first = error.errors()[0]
    key, beside = _place(first["loc"])
    if first["type"] == "missing":
        return f"{key} is missing"
    if first["type"] == "extra_forbidden":
        return f"unknown key {key!r}; allowed: {', '.join(beside)}"
    given = first.get("input")
    secret = first["loc"][0] in SECRETS_IN or re.search(SECRET, key, re.IGNORECASE)
    value = "" if isinstance(given, dict | list) else " = ***" if secret else f" = {given!r}"
    allowed = "; or ".join(each["msg"] for each in error.errors() if _place(each["loc"])[0] == key)
    return f"{key}{value}: {allowed}"


def _place(loc: tuple[int | str, ...]) -> tuple[str, list[str]]:
    """The key of a mistake as the file has it, and the keys allowed beside it."""
    model: Any = Settings
    beside, key = model, []
    for part in loc:
        if model is None:  # which member of a union
            break
        key.append(str(part))
        if isinstance(part, str):
            beside = model
            annotation = model.model_fields[part].annotation if part in model.model_fields else None
            below = (annotation, *get_args(annotation))
            model = next((m for m in below if isinstance(m, type) and issubclass(m, BaseModel)), None)
    return ".".join(key), sorted(beside.model_fields)


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


def _check_stages(file: str, settings: Settings) -> None:
    """Every key of a stage, and every shared one, must be one that a stage takes, of the kind it takes."""
    stages = []
    for name in ("groups", "annotate"):
        groups = getattr(settings, name)
        stages += [stage for g in groups for stage in ([g.source] if g.source else []) + g.stages]
        if groups and groups[0].source is None:
            raise SettingsError(f"{file}: {name}.0.source is missing: the first group must read something")
    takes = {stage.use: _kinds(stage_class(stage.use)) for stage in stages}
    shareable = sorted({key for kinds in takes.values() for key in kinds} - NOT_SHARED)
    for key in settings.shared:
        if key not in shareable:
            raise SettingsError(f"{file}: unknown key {key!r} for shared; allowed: {', '.join(shareable)}")
    recognizers = {settings.shared.get("recognizer")}  # the one that enrols
    for stage in stages:
        kinds, shared = takes[stage.use], {k: v for k, v in settings.shared.items() if k in takes[stage.use]}
        for key, value in (shared | stage.keywords).items():
            if key not in kinds:
                raise SettingsError(f"{file}: unknown key {key!r} for {stage.use}; allowed: {', '.join(sorted(kinds))}")
            try:
                TypeAdapter(kinds[key]).validate_json(json.dumps(value, default=str), strict=True)
            except ValidationError as error:
                raise SettingsError(f"{file}: {key} = {value!r} for {stage.use}: {error.errors()[0]['msg']}") from None
            except PydanticUserError:  # a kind of its own, which it must check itself
                continue
        if "recognizer" in kinds:
            recognizers.add((shared | stage.keywords).get("recognizer"))
    if len(recognizers) > 1:  # vectors of two recognisers must never be compared
        raise SettingsError(
            f"{file}: recognizer: stages have different ones ({', '.join(map(str, recognizers))}); name it in shared"
        )


def _kinds(cls: type[Any]) -> dict[str, Any]:
    """What each of a class's constructor's keywords may be, by its annotations."""
    try:
        hints = get_type_hints(cls.__init__)
    except NameError:  # names that only a type checker imports
        hints = {}
    return {key: hints.get(key, Any) for key in inspect.signature(cls).parameters}


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


def fingerprint(groups: list[GroupSettings], context: dict[str, Any]) -> str:
    """A digest of everything that decides what the stages of a graph find: their classes and keywords, also those they take from
    their defaults and from ``context``. Folders, rate, device and how the work is spread do not count."""
    told = []
    for stage in [s for group in groups for s in [*([group.source] if group.source else []), *group.stages]]:
        cls = stage_class(stage.use)
        wanted = inspect.signature(cls).parameters
        keywords = {name: p.default for name, p in wanted.items() if p.default is not inspect.Parameter.empty}
        keywords |= {key: value for key, value in context.items() if key in wanted} | stage.keywords
        told.append([cls.__name__, {key: value for key, value in keywords.items() if key not in NOT_SHARED}])
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()
