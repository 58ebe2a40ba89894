"""Reads a YAML settings file in bounded time. Every fault is one SettingsError with line and column."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import yaml

from pipeline.errors import SettingsError

MAX_BYTES = 200_000
MAX_NODES = 50_000  # including what aliases expand to
MAX_DEPTH = 40
MAX_INT = 2**63
Place = tuple[int | str, ...]


class _TooDeepError(Exception):
    """Brackets are nested too deeply."""


class _Loader(yaml.SafeLoader):
    """Refuses deeply nested brackets, which would take the library minutes to parse."""

    def fetch_flow_collection_start(self, token: type[Any]) -> None:
        if self.flow_level >= MAX_DEPTH:
            raise _TooDeepError
        super().fetch_flow_collection_start(token)


class YamlFile:
    """A settings file: its ``data``, and the position of each key.

    Args:
        path: of the file.

    Raises:
        SettingsError: it cannot be read, is no YAML, or is larger or deeper than settings can be.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._node: Any = None
        try:
            loader = _Loader(_content(path))
            self._node = loader.get_single_node()
            self._require_bounded()
            data = loader.construct_document(self._node) if self._node is not None else None
        except SettingsError:
            raise
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            raise SettingsError(f"{path}{_at(mark)}: not YAML: {_without_content(error)}") from None
        except (RecursionError, _TooDeepError):
            raise SettingsError(f"{path}: nested more than {MAX_DEPTH} levels deep") from None
        except Exception as error:  # a wrong value can raise anything in the library
            raise SettingsError(f"{path}: not YAML: {_without_content(error)}") from None
        if not isinstance(data, dict):
            raise SettingsError(f"{path}: must hold keys and values, it holds {type(data).__name__}")
        self.data: dict[str, Any] = data
        self._require_plain(data, ())

    def place(self, key: Place) -> str:
        """``:line:column`` of a key, or of the nearest key above it; "" for the whole file."""
        node, found = self._node, ""
        for part in key:
            below = _below(node).get(part)
            if below is None:
                break
            found, node = _at(below[0].start_mark), below[1]
        return found

    def _require_bounded(self) -> None:
        """Refuse keys given twice, anchors within themselves, and more nodes than any settings need."""
        left = MAX_NODES

        def walk(node: Any, above: tuple[int, ...]) -> None:
            nonlocal left
            left -= 1
            if id(node) in above:
                raise SettingsError(f"{self.path}{_at(node.start_mark)}: an anchor that contains itself")
            if left < 0 or len(above) > MAX_DEPTH:
                what = "more entries than settings can have" if left < 0 else f"nested more than {MAX_DEPTH} levels deep"
                raise SettingsError(f"{self.path}{_at(node.start_mark)}: {what}")
            above = (*above, id(node))
            if isinstance(node, yaml.SequenceNode):
                for each in node.value:
                    walk(each, above)
            elif isinstance(node, yaml.MappingNode):
                seen = set()
                for key, value in node.value:
                    if isinstance(key, yaml.ScalarNode) and key.value in seen and key.value != "<<":
                        raise SettingsError(f"{self.path}{_at(key.start_mark)}: the key {key.value!r} is given twice")
                    seen.add(key.value if isinstance(key, yaml.ScalarNode) else None)
                    walk(key, above)
                    walk(value, above)

        if self._node is not None:
            walk(self._node, ())

    def _require_plain(self, value: Any, key: Place) -> None:
        """Refuse values that no setting has: infinite numbers, dates, keys that are not text."""
        why = ""
        if isinstance(value, dict):
            for name, each in value.items():
                if not isinstance(name, str):
                    raise SettingsError(f"{self.path}{self.place((*key, str(name)))}: the key {name!r} must be text")
                self._require_plain(each, (*key, name))
        elif isinstance(value, list):
            for number, each in enumerate(value):
                self._require_plain(each, (*key, number))
        elif isinstance(value, float) and not math.isfinite(value):
            why = f" = {value}: must be a finite number"
        elif isinstance(value, int) and abs(value) >= MAX_INT:
            why = ": the number is too large"
        elif not isinstance(value, str | int | float | None):
            why = f": is a {type(value).__name__}, not text; put it in quotes"
        if why:
            raise SettingsError(f"{self.path}{self.place(key)}: {'.'.join(map(str, key))}{why}")


def _content(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise SettingsError(f"settings file {path}: is no file")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise SettingsError(f"settings file {path}: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > MAX_BYTES:
        raise SettingsError(f"settings file {path}: larger than {MAX_BYTES // 1000} kB; settings never are")
    return content


def _below(node: Any) -> dict[int | str, tuple[Any, Any]]:
    """The entries of a mapping or list by key or number: the node to point at, and its value."""
    if isinstance(node, yaml.MappingNode):
        return {key.value: (key, value) for key, value in node.value if isinstance(key, yaml.ScalarNode)}
    if isinstance(node, yaml.SequenceNode):
        return {number: (each, each) for number, each in enumerate(node.value)}
    return {}


def _at(mark: Any) -> str:
    return f":{mark.line + 1}:{mark.column + 1}" if mark else ""


def _without_content(error: Exception) -> str:
    """The error text without quotations from the file, which may contain a password."""
    said = getattr(error, "problem", None) or getattr(error, "reason", None) or type(error).__name__
    return re.sub(r"'[^']{2,}'|\"[^\"]{2,}\"", "...", str(said))
