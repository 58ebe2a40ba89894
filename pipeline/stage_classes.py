"""Resolves the names of stages to classes, and decides which names a settings file may use."""

from __future__ import annotations

import importlib
import inspect
from importlib import metadata
from typing import Any, get_type_hints

from pipeline.errors import SettingsError
from pipeline.graph import SOURCE_METHODS, has_methods

FORMER_NAMES = {  # names of earlier versions, which settings files may still use
    "stages.decode.Decode": "stages.video.recording.Decode",
    "stages.camera.Camera": "stages.video.camera.Camera",
}


def allowed_class(use: str, methods: tuple[str, ...]) -> tuple[str, type[Any]]:
    """Resolve the ``use`` of a settings file.

    Only stages of Farsight and registered ones are allowed: whoever hands over a settings file must not choose which code runs.

    Args:
        use: ``stages.module.Class``, or the name of a registered stage.
        methods: the methods it must have.

    Returns:
        The full name, and the class.

    Raises:
        SettingsError: the name is not allowed.
    """
    installed = installed_stages()
    use = installed.get(use, FORMER_NAMES.get(use, use))
    if not use.startswith("stages.") and use not in installed.values():
        more = f", or one of {', '.join(sorted(installed))}" if installed else ""
        raise SettingsError(f"use = {use!r}: must be a stage of Farsight, like stages.detect.Detect{more}")
    cls = stage_class(use)
    own = use.startswith("stages.")
    if (own and (cls.__module__ != use.rpartition(".")[0] or cls.__name__.startswith("_"))) or not has_methods(cls, methods):
        raise SettingsError(f"use = {use!r}: is no {'source' if methods == SOURCE_METHODS else 'stage'}")
    return use, cls


def installed_stages() -> dict[str, str]:
    """The stages that installed packages register: names and ``package.module.Class``."""
    return {point.name: point.value.replace(":", ".") for point in metadata.entry_points(group="farsight.stages")}


def keyword_types(cls: type[Any]) -> dict[str, Any]:
    """The annotated type of each keyword of a class's constructor."""
    try:
        hints = get_type_hints(cls.__init__)
    except Exception:  # names that only a type checker imports, or whatever an installed package's annotations hold
        hints = {}
    return {key: hints.get(key, Any) for key in inspect.signature(cls).parameters}


def stage_class(use: str) -> type[Any]:
    """Import ``package.module.Class``. Raises SettingsError if there is no such class."""
    module, _, name = use.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as error:  # a module may fail in any way when it is imported
        raise SettingsError(f"stage {use!r}: {' '.join(str(error).split()) or type(error).__name__}") from None
    if not isinstance(found, type):
        raise SettingsError(f"stage {use!r} is not a class")
    return found
