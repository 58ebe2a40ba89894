"""Check the stages of a settings file, build them, and compute a digest of the settings that affect their results."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable
from typing import Any

from pydantic import PydanticUserError, TypeAdapter, ValidationError

from pipeline.errors import SettingsError
from pipeline.graph import SOURCE_METHODS, STAGE_METHODS, first_fault
from pipeline.settings import EngineSettings, GroupSettings, StageSettings
from pipeline.stage_classes import allowed_class, keyword_types, stage_class

LONGEST_SHOWN = 80  # characters of a wrong value
KeyPath = tuple[int | str, ...]
"""Position of a key in a settings file, such as ``("groups", 0, "stages", 2, "use")``."""
ErrorAt = Callable[[KeyPath, str], SettingsError]
"""Makes the error for a key, from its position and what is wrong."""


def check_stages(settings: EngineSettings, error_at: ErrorAt) -> None:
    """Check every graph, every keyword of a stage and every shared one. Full names replace short ones in ``use``.

    Raises:
        SettingsError: a graph cannot work, or no stage takes a keyword, or a value is of the wrong type.
    """
    stages, classes = _resolve_classes(settings, error_at)
    types = {use: keyword_types(cls) for use, cls in classes.items()}
    shareable = sorted({key for kinds in types.values() for key in kinds} - settings.run_keywords)
    for key in settings.shared:
        if key not in shareable:
            raise error_at(("shared", key), f"unknown key {key!r} for shared; allowed: {', '.join(shareable)}")
    for at, stage in stages:
        _check_keywords(stage, at, settings.shared, types[stage.use], error_at)
    for key in settings.single_valued:
        values = {settings.shared.get(key)}
        values |= {(settings.shared | stage.keywords).get(key) for _, stage in stages if key in types[stage.use]}
        if len(values) > 1:
            shown = ", ".join(map(str, values))
            raise error_at(("shared", key), f"{key}: stages have different ones ({shown}); name it in shared")


def _resolve_classes(
    settings: EngineSettings, error_at: ErrorAt
) -> tuple[list[tuple[KeyPath, StageSettings]], dict[str, type[Any]]]:
    """Every stage with its place in the file, and the class of each ``use``."""
    stages: list[tuple[KeyPath, StageSettings]] = []
    classes: dict[str, type[Any]] = {}
    for name in settings.graphs:
        groups = getattr(settings, name)
        for place, group in enumerate(groups):
            here: list[tuple[KeyPath, StageSettings]] = [(("source",), group.source)] if group.source else []
            here += [(("stages", number), stage) for number, stage in enumerate(group.stages)]
            for below, stage in here:
                stages.append(((name, place, *below), stage))
                methods = SOURCE_METHODS if below == ("source",) else STAGE_METHODS
                try:
                    stage.use, classes[stage.use] = allowed_class(stage.use, methods)
                except SettingsError as error:
                    raise error_at((name, place, *below, "use"), str(error)) from None
        fault, why = first_fault(groups, classes) if groups else ((), "")
        if why:
            raise error_at((name, *fault), f"{'.'.join(map(str, (name, *fault)))}{why}")
    return stages, classes


def _check_keywords(stage: StageSettings, at: KeyPath, shared: dict[str, Any], types: dict[str, Any], error_at: ErrorAt) -> None:
    for key, value in ({k: v for k, v in shared.items() if k in types} | stage.keywords).items():
        at_key = (*at, key) if key in stage.keywords else ("shared", key)
        if key not in types:
            raise error_at(at_key, f"unknown key {key!r} for {stage.use}; allowed: {', '.join(sorted(types))}")
        try:
            TypeAdapter(types[key]).validate_json(json.dumps(value, default=str), strict=True)
        except ValidationError as error:
            raise error_at(at_key, f"{key} = {shortened(value)} for {stage.use}: {error.errors()[0]['msg']}") from None
        except PydanticUserError:  # a type that pydantic does not know: the stage must check it itself
            continue


def shortened(value: Any) -> str:
    """A wrong value as a message shows it."""
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "..."


def build_stage(settings: StageSettings, context: dict[str, Any]) -> Any:
    """Make one stage. Its keywords come from ``settings``, and the others it has from ``context`` (output folder, device, ...).

    Raises:
        SettingsError: the class does not take these keywords.
    """
    cls = stage_class(settings.use)
    parameters = inspect.signature(cls).parameters
    keywords = {**{k: v for k, v in context.items() if k in parameters}, **settings.keywords}
    try:
        return cls(**keywords)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"{settings.use}: {error}") from None


def fingerprint(groups: list[GroupSettings], context: dict[str, Any], ignored: frozenset[str]) -> str:
    """SHA-256 of everything that affects the results of a graph.

    Args:
        groups: the graph. The classes of its stages and their keywords, including defaults, are hashed; replicas, batch sizes and
            resources are not.
        context: values for stage keywords, by name; those that stages use are hashed.
        ignored: names of keywords that are left out.
    """
    parts = []
    for stage in [s for group in groups for s in [*([group.source] if group.source else []), *group.stages]]:
        cls = stage_class(stage.use)
        parameters = inspect.signature(cls).parameters
        keywords = {name: p.default for name, p in parameters.items() if p.default is not inspect.Parameter.empty}
        keywords |= {key: value for key, value in context.items() if key in parameters} | stage.keywords
        parts.append([cls.__name__, {key: value for key, value in keywords.items() if key not in ignored}])
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
