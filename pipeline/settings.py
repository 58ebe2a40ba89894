"""Settings of the engine: the stage graph, the cameras, the monitoring address. A program adds its own keys in a subclass."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field


class StageSettings(BaseModel):
    """One stage: the class to use. Every other key is passed to its constructor."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    use: str = Field(
        max_length=200,
        description="the class: stages.module.Class, or one that an installed package registers under the entry point group "
        "farsight.stages",
    )

    @property
    def keywords(self) -> dict[str, Any]:
        """The keywords for the stage's constructor."""
        return dict(self.model_extra or {})


class GroupSettings(BaseModel):
    """Stages that run together in one actor, and how many such actors there are."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    name: str = Field(description="shown in tables, logs and metrics; unique")
    source: StageSettings | None = Field(None, description="what reads the sources; only the first group has one")
    stages: list[StageSettings] = Field(default_factory=list, description="stages in the order they run")
    replicas: Annotated[int, Field(ge=1, le=256)] | Literal["auto"] = Field(
        "auto", description="actors of this group; auto: for the first group one per source up to the number of cores, else 1"
    )
    key: list[str] = Field(
        default_factory=list,
        description="record attributes that choose the replica; records with the same values stay in order",
    )
    cpus: float = Field(1.0, ge=0, description="cores that Ray reserves for each actor")
    gpus: float = Field(0.0, ge=0, description="GPUs that Ray reserves for each actor; fractions are allowed")
    threads: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] = Field(
        "auto",
        description="threads of the numeric libraries in each actor; auto: the cores divided by the actors of the first group",
    )
    batch: int = Field(
        32, ge=1, le=65_536, description="largest number of records processed together; more is faster on a GPU and adds delay"
    )
    wait_ms: float = Field(5.0, ge=0, le=60_000, description="longest time in ms that a record waits for its batch to fill")
    queue: int = Field(8, ge=1, le=1024, description="batches in flight to this group from each sender (its credits)")
    full: Literal["wait", "drop_oldest"] = Field(
        "wait", description="what a sender does when its credits are used up: wait, or drop the oldest batch"
    )


class CameraSettings(BaseModel):
    """One live camera."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    name: str = Field(pattern=r"^[\w.-]*[\w-][\w.-]*$", max_length=100, description="unique; the source name in all results")
    url: str = Field(description="rtsp(s)://, http(s):// or /dev/videoN; ${VARIABLE} is taken from the environment")
    transport: Literal["tcp", "udp"] = Field("tcp", description="how RTSP frames travel; udp only on a network without loss")
    patience_s: Annotated[float, Field(ge=3, le=3600)] | Literal["auto"] = Field(
        "auto",
        description="seconds without a frame before the camera is reconnected; auto: four frame intervals, at least 8 s",
    )
    poll_s: float = Field(
        0.5, ge=0.05, le=3600, description="seconds between requests, for addresses that return one JPEG per request"
    )


class MetricsSettings(BaseModel):
    """The address of /metrics, /healthz and /readyz."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    host: str = Field(
        "127.0.0.1", description="address to listen on; there is no password, so let only the monitoring system reach it"
    )
    port: int = Field(9464, ge=0, le=65535, description="TCP port; 0: no monitoring")
    names: list[str] = Field(
        [],
        description="further host names that requests may use; this machine's name and IP addresses are always allowed, "
        "other names are refused",
    )


class EngineSettings(BaseModel):
    """The settings of every run of the engine. A program subclasses it, adds its own keys and sets the class variables below.

    Attributes:
        graphs: the keys that hold a stage graph.
        secret_keys: keys whose values no message may show.
        run_keywords: stage keywords that the program fills for each run. A settings file must not set them under ``shared``, and
            checkpoints do not depend on them.
        single_valued: stage keywords that must have one value throughout all graphs.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    graphs: ClassVar[tuple[str, ...]] = ("groups",)
    secret_keys: ClassVar[tuple[str, ...]] = ("cameras",)
    run_keywords: ClassVar[frozenset[str]] = frozenset({"out", "database", "device"})
    single_valued: ClassVar[tuple[str, ...]] = ()

    engine: Literal["ray", "inline", "auto"] = Field(
        "ray",
        description="ray: several processes; inline: this process only; auto: inline for a single short recording, else ray",
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where the networks run")
    checkpoint_every_s: float = Field(5.0, ge=0, description="seconds between checkpoints: the most work an interruption costs")
    groups: list[GroupSettings] = Field(description="the stage graph, in the order of the data", min_length=1)
    shared: dict[str, Any] = Field(default_factory=dict, description="keywords for every stage that has a parameter of that name")
    cameras: list[CameraSettings] = Field(default_factory=list, description="live cameras (for `live`)")
    metrics: MetricsSettings = Field(
        default_factory=lambda: MetricsSettings.model_validate({}), description="the address of the metrics (for `live`)"
    )
