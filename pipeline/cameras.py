"""The cameras of a settings file, read again whenever it changes."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import structlog

from pipeline.errors import SettingsError
from pipeline.protocol import SourceSpec
from pipeline.settings import CameraSettings, Settings, load_settings

VARIABLE = re.compile(r"\$\{(\w+)\}")
AT_ONCE = {"cameras"}  # what is followed while it runs; the rest needs a restart


class CameraFile:
    """Looks at the file at each call of `wanted`; a wrong file leaves the cameras as they are and is said once.

    ``defaults`` are settings for keys the file does not name. Raises SettingsError if the file is wrong at first.
    """

    def __init__(self, path: Path, **defaults: Any) -> None:
        self._path, self._defaults = path, defaults
        self._log = structlog.get_logger()
        self._stamp, self._asked = self._look(), False
        self.settings, self._specs = self._read()

    def wanted(self) -> list[SourceSpec]:
        """The cameras to watch now."""
        stamp = None if self._asked else self._look()
        if stamp != self._stamp:
            self._asked, self._stamp = False, self._look()
            self._reload()
        return self._specs

    def look_again(self) -> None:
        """Read the file at the next look even if it is the same; for signal handlers."""
        self._asked = True

    def _reload(self) -> None:
        try:
            settings, specs = self._read()
        except SettingsError as error:
            self._log.error("settings kept", why=str(error))
            return
        for key in Settings.model_fields:
            if key not in AT_ONCE and getattr(settings, key) != getattr(self.settings, key):
                self._log.warning("needs a restart", key=key)
        before, now = {s.name: s for s in self._specs}, {s.name: s for s in specs}
        changed = [name for name in now if name in before and before[name] != now[name]]
        self._specs = specs
        self._log.info("settings read", added=[*(now.keys() - before)], removed=[*(before.keys() - now)], changed=changed)

    def _read(self) -> tuple[Settings, list[SourceSpec]]:
        settings = load_settings(self._path, **self._defaults)
        for key in ("cameras", "watchlist", "out"):
            if not getattr(settings, key):
                raise SettingsError(f"{self._path.name}: {key} is missing")
        specs = [
            SourceSpec(c.name, address(from_environment(c.url, f"camera {c.name}: url")), options_of(c)) for c in settings.cameras
        ]
        return settings, specs

    def _look(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:  # just being replaced
            return None
        return found.st_mtime_ns, found.st_size


def options_of(camera: CameraSettings) -> tuple[tuple[str, str], ...]:
    """What the camera's reader is told."""
    patience = () if camera.patience_s == "auto" else (("patience_s", str(camera.patience_s)),)
    return (("transport", camera.transport), ("poll_s", str(camera.poll_s)), *patience)


def address(url: str) -> str:
    """A file in a camera's place by its whole path, since cameras are read in another folder; anything else as it is."""
    return str(Path(url).absolute()) if Path(url).is_file() else url


def from_environment(text: str, key: str) -> str:
    """``text`` with each ${VARIABLE} replaced. Raises SettingsError for one that is not set."""
    missing = [v for v in VARIABLE.findall(text) if v not in os.environ]
    if missing:
        raise SettingsError(f"{key}: ${{{missing[0]}}} is not set in the environment")
    return VARIABLE.sub(lambda m: os.environ[m.group(1)], text)
