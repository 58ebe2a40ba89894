"""Settings of a run: read from YAML, checked, and shown back in ``run.json``."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, PydanticUserError, TypeAdapter, ValidationError

from pipeline.errors import SECRET, SettingsError
from pipeline.graph import SOURCE, STAGE, fault_of
from pipeline.stage_classes import allowed_class, kinds_of
from pipeline.stage_classes import stage_class as stage_class
from pipeline.yaml_file import YamlFile

SECRETS_IN = ("cameras", "alerts")  # keys below which no value is shown
MOST_SHOWN = 80  # characters of a wrong value
NOT_SHARED = {
    "out",
    "database",
    "fpir",
    "device",
    "epoch",
    "epoch_clock",
    "alerts",
    "blur_bystanders",
}  # told to stages by other means


class StageSettings(BaseModel):
    """One stage: the class to use; every other key is passed to its constructor."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    use: str = Field(
        max_length=200,
        description="the class: one of the project's, as stages.module.Class, or one that an installed package registers in the "
        "entry point group farsight.stages",
    )

    @property
    def keywords(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class GroupSettings(BaseModel):
    """Stages that run together in one actor, and how many such actors there are."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    name: str = Field(description="shown in tables and logs")
    source: StageSettings | None = Field(None, description="what reads the sources; only the first group has one")
    stages: list[StageSettings] = Field(default_factory=list, description="run in this order")
    replicas: Annotated[int, Field(ge=1, le=256)] | Literal["auto"] = Field(
        "auto", description="actors of this group; auto: one a source up to the cores for the first group, else 1"
    )
    key: list[str] = Field(
        default_factory=list, description="attributes of a record that decide its replica, so that their order is kept"
    )
    cpus: float = Field(1.0, ge=0, description="cores that Ray sets aside for each actor")
    gpus: float = Field(0.0, ge=0, description="GPUs that Ray sets aside for each actor; a share is allowed")
    threads: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] = Field(
        "auto",
        description="threads of the numeric libraries in each actor; auto: the cores over the actors of the first group",
    )
    batch: int = Field(32, ge=1, le=65_536, description="records processed together at most")
    wait_ms: float = Field(5.0, ge=0, le=60_000, description="how long a record waits for others to fill its batch")
    queue: int = Field(8, ge=1, le=1024, description="batches in flight towards this group from each sender (its credits)")
    full: Literal["wait", "drop_oldest"] = Field(
        "wait", description="what a sender does when the credits are used up: wait, or drop the oldest (drop_oldest)"
    )


class CameraSettings(BaseModel):
    """One live camera."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    name: str = Field(pattern=r"^[\w.-]*[\w-][\w.-]*$", max_length=100, description="unique; names its sightings")
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

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    cooldown_s: float = Field(60.0, ge=0, description="how long the same person at the same camera raises no other alert")
    webhook: str | None = Field(None, description="http(s):// address that gets each alert as a POST of JSON")
    webhook_secret: str | None = Field(None, description="signs each POST with HMAC-SHA256")
    mqtt: str | None = Field(None, description="mqtt(s)://[user:password@]host[:port][/topic]")
    console: bool = Field(True, description="each alert, with its name, is a line on standard output; false for a kept log")


class MetricsSettings(BaseModel):
    """The address of /metrics, /healthz and /readyz."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    host: str = Field("127.0.0.1", description="interface; there is no password, so keep it where only the monitoring reaches it")
    port: int = Field(9464, ge=0, le=65535, description="0: none")
    names: list[str] = Field(
        [],
        description="names, beside this machine's and plain addresses, that monitoring asks by; requests for others are refused",
    )


class RetentionSettings(BaseModel):
    """Days that things are kept after a track of a live camera has ended; none: for ever."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    match: float | None = Field(None, ge=0, description="tracks that matched, with vectors, pictures, lines and alerts")
    no_match: float | None = Field(None, ge=0, description="tracks that matched nobody")
    not_assessable: float | None = Field(None, ge=0, description="tracks that could not be judged")
    pictures: float | None = Field(None, ge=0, description="crops and restored chips of whatever outcome")


class Settings(BaseModel):
    """The whole of a run's settings."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    engine: Literal["ray", "inline", "auto"] = Field(
        "ray",
        description="ray: actors in processes; inline: everything in this process; auto: inline for a single short recording",
    )
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
    files = _files(path)
    data = {key: value for file in reversed(files) for key, value in file.data.items() if key != "base"}
    data.update({key: value for key, value in overrides.items() if value is not None})
    where = _Where(files)
    try:
        settings = Settings.model_validate(data)
    except ValidationError as error:
        raise where.error(error.errors()[0]["loc"], _first_of(error)) from None
    names = [camera.name for camera in settings.cameras]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise where.error(("cameras", number), f"cameras: the name {name!r} is used twice")
        if like := [other for other in names[:number] if other.casefold() == name.casefold()]:
            raise where.error(("cameras", number), f"cameras: the names {like[0]!r} and {name!r} differ by case only; rename one")
    _check_stages(where, settings)
    return settings


class _Where:
    """Makes errors that tell in which file, at which line and column, a key stands."""

    def __init__(self, files: list[YamlFile]) -> None:
        self._files = files

    def error(self, key: tuple[int | str, ...], why: str) -> SettingsError:
        for file in self._files:
            if key and key[0] in file.data and (place := file.place(key)):
                return SettingsError(f"{file.path.name}{place}: {why}")
        return SettingsError(f"{self._files[0].path.name}: {why}")


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
    value = "" if isinstance(given, dict | list) else " = ***" if secret else f" = {_shown(given)}"
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


def _files(path: Path) -> list[YamlFile]:
    """A settings file, and the one it starts from."""
    own = YamlFile(path)
    base = own.data.get("base")
    if not base:
        return [own]
    if not isinstance(base, str):
        raise SettingsError(f"{path}{own.place(('base',))}: base must be the path of a file")
    below = YamlFile(path.parent / base)
    if "base" in below.data:
        raise SettingsError(f"{path}{own.place(('base',))}: base {base!r} has a base of its own")
    return [own, below]


def _check_stages(where: _Where, settings: Settings) -> None:
    """Every graph must be able to work; every key of a stage, and every shared one, must be one that a stage takes, of the kind
    it takes."""
    stages: list[tuple[tuple[int | str, ...], StageSettings]] = []
    classes: dict[str, type[Any]] = {}
    for name in ("groups", "annotate"):
        groups = getattr(settings, name)
        for place, group in enumerate(groups):
            here: list[tuple[tuple[int | str, ...], StageSettings]] = [(("source",), group.source)] if group.source else []
            here += [(("stages", number), stage) for number, stage in enumerate(group.stages)]
            for below, stage in here:
                stages.append(((name, place, *below), stage))
                try:
                    stage.use, classes[stage.use] = allowed_class(stage.use, SOURCE if below == ("source",) else STAGE)
                except SettingsError as error:
                    raise where.error((name, place, *below, "use"), str(error)) from None
        fault, why = fault_of(groups, classes) if groups else ((), "")
        if why:
            raise where.error((name, *fault), f"{'.'.join(map(str, (name, *fault)))}{why}")
    takes = {use: kinds_of(cls) for use, cls in classes.items()}
    shareable = sorted({key for kinds in takes.values() for key in kinds} - NOT_SHARED)
    for key in settings.shared:
        if key not in shareable:
            raise where.error(("shared", key), f"unknown key {key!r} for shared; allowed: {', '.join(shareable)}")
    recognizers = {settings.shared.get("recognizer")}  # the one that enrols
    for at, stage in stages:
        kinds, shared = takes[stage.use], {k: v for k, v in settings.shared.items() if k in takes[stage.use]}
        for key, value in (shared | stage.keywords).items():
            at_key = (*at, key) if key in stage.keywords else ("shared", key)
            if key not in kinds:
                raise where.error(at_key, f"unknown key {key!r} for {stage.use}; allowed: {', '.join(sorted(kinds))}")
            try:
                TypeAdapter(kinds[key]).validate_json(json.dumps(value, default=str), strict=True)
            except ValidationError as error:
                raise where.error(at_key, f"{key} = {_shown(value)} for {stage.use}: {error.errors()[0]['msg']}") from None
            except PydanticUserError:  # a kind of its own, which it must check itself
                continue
        if "recognizer" in kinds:
            recognizers.add((shared | stage.keywords).get("recognizer"))
    if len(recognizers) > 1:  # vectors of two recognisers must never be compared
        raise where.error(
            ("shared", "recognizer"),
            f"recognizer: stages have different ones ({', '.join(map(str, recognizers))}); name it in shared",
        )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= MOST_SHOWN else text[:MOST_SHOWN] + "..."


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
