"""Reads a settings file into a settings model. Each mistake is one line: file, line, column, key, and what is allowed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from pipeline.errors import SECRET, SettingsError
from pipeline.settings import EngineSettings
from pipeline.stage_settings import KeyPath, check_stages, shortened
from pipeline.yaml_file import YamlFile

Model = TypeVar("Model", bound=EngineSettings)


def read_settings(model: type[Model], path: Path, **overrides: Any) -> Model:
    """Read and check a YAML file.

    Args:
        model: the settings model.
        path: the file. ``base: other.yaml`` in it (relative to itself) names a file whose keys it inherits.
        overrides: keys that replace those of the file, unless their value is None.

    Raises:
        SettingsError: it names the key, its value and what is allowed.
    """
    files = _files(path)
    data = {key: value for file in reversed(files) for key, value in file.data.items() if key != "base"}
    data.update({key: value for key, value in overrides.items() if value is not None})
    error_at = _Locator(files).error
    try:
        settings = model.model_validate(data)
    except ValidationError as error:
        raise error_at(error.errors()[0]["loc"], _first_of(error, model)) from None
    names = [camera.name for camera in settings.cameras]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise error_at(("cameras", number), f"cameras: the name {name!r} is used twice")
        if like := [other for other in names[:number] if other.casefold() == name.casefold()]:
            raise error_at(("cameras", number), f"cameras: the names {like[0]!r} and {name!r} differ by case only; rename one")
    check_stages(settings, error_at)
    return settings


class _Locator:
    """Makes errors that name file, line and column of a key."""

    def __init__(self, files: list[YamlFile]) -> None:
        self._files = files

    def error(self, key: KeyPath, why: str) -> SettingsError:
        for file in self._files:
            if key and key[0] in file.data and (place := file.place(key)):
                return SettingsError(f"{file.path.name}{place}: {why}")
        return SettingsError(f"{self._files[0].path.name}: {why}")


def _files(path: Path) -> list[YamlFile]:
    """A settings file, and the one it inherits from."""
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


def _first_of(error: ValidationError, model: type[EngineSettings]) -> str:
    """The first mistake as key, value and what is allowed. Values that may be secret are not shown."""
    first = error.errors()[0]
    key, siblings = _key_and_siblings(first["loc"], model)
    if first["type"] == "missing":
        return f"{key} is missing"
    if first["type"] == "extra_forbidden":
        return f"unknown key {key!r}; allowed: {', '.join(siblings)}"
    given = first.get("input")
    secret = first["loc"][0] in model.secret_keys or re.search(SECRET, key, re.IGNORECASE)
    value = "" if isinstance(given, dict | list) else " = ***" if secret else f" = {shortened(given)}"
    allowed = "; or ".join(each["msg"] for each in error.errors() if _key_and_siblings(each["loc"], model)[0] == key)
    return f"{key}{value}: {allowed}"


def _key_and_siblings(loc: KeyPath, root: type[EngineSettings]) -> tuple[str, list[str]]:
    """The key of a mistake as the file spells it, and the keys allowed beside it."""
    model: Any = root
    parent, key = model, []
    for part in loc:
        if model is None:  # which member of a union
            break
        key.append(str(part))
        if isinstance(part, str):
            parent = model
            annotation = model.model_fields[part].annotation if part in model.model_fields else None
            below = (annotation, *get_args(annotation))
            model = next((m for m in below if isinstance(m, type) and issubclass(m, BaseModel)), None)
    return ".".join(key), sorted(parent.model_fields)
