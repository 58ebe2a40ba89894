"""The cameras of a settings file, which is read again whenever it changes."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import structlog

from cli.settings import Settings, load_settings
from pipeline.addresses import expand_url, expand_variables
from pipeline.errors import SettingsError
from pipeline.protocol import SourceSpec
from pipeline.settings import CameraSettings

RELOADED_KEYS = {"cameras"}  # keys that take effect during a run; changes of others need a restart


class CameraFile:
    """Checks the file at each call of `requested`. A wrong file is logged once and leaves the cameras as they are.

    Args:
        path: the settings file.
        defaults: values of keys that replace the file's.

    Raises:
        SettingsError: the file is wrong when it is first read.
    """

    def __init__(self, path: Path, **defaults: Any) -> None:
        self._path, self._defaults = path, defaults
        self._log = structlog.get_logger()
        self._stamp, self._asked = self._look(), False
        self.settings, self._specs = self._read()

    @property
    def path(self) -> Path:
        """The settings file, absolute."""
        return self._path.absolute()

    def requested(self) -> list[SourceSpec]:
        """The cameras to read now."""
        stamp = None if self._asked else self._look()
        if stamp != self._stamp:
            self._asked, self._stamp = False, self._look()
            self._reload()
        return self._specs

    def request_reload(self) -> None:
        """Read the file at the next call of `requested`, even if it has not changed; for signal handlers."""
        self._asked = True

    def _reload(self) -> None:
        try:
            settings, specs = self._read()
        except SettingsError as error:
            self._log.error("settings kept", why=str(error))
            return
        for key in Settings.model_fields:
            if key not in RELOADED_KEYS and getattr(settings, key) != getattr(self.settings, key):
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
        shared = {k: expand_path(v, f"shared.{k}") if isinstance(v, str) else v for k, v in settings.shared.items()}
        places = {key: expand_path(str(getattr(settings, key)), key) for key in ("watchlist", "out")}
        settings = settings.model_copy(update={**places, "shared": shared})
        specs = [SourceSpec(c.name, camera_url(c.url, f"camera {c.name}: url"), reader_options(c)) for c in settings.cameras]
        by_address = defaultdict(list)
        for spec in specs:
            by_address[spec.url].append(spec.name)
        for names in by_address.values():
            if len(names) > 1:  # allowed, but each connects for itself, and every sighting there is reported twice
                self._log.warning("cameras of one address", names=names)
        return settings, specs

    def _look(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:  # it is being replaced
            return None
        return found.st_mtime_ns, found.st_size


def reader_options(camera: CameraSettings) -> tuple[tuple[str, str], ...]:
    """The options of a camera's reader."""
    patience = () if camera.patience_s == "auto" else (("patience_s", str(camera.patience_s)),)
    return (("transport", camera.transport), ("poll_s", str(camera.poll_s)), *patience)


def camera_url(url: str, key: str) -> str:
    """Expand variables in a camera's address and percent-encode its credentials.

    The path of a video file becomes absolute, because readers run in another folder.

    Args:
        url: as in the settings file.
        key: name of the setting, for errors.

    Raises:
        SettingsError: see `pipeline.addresses.expand_url`.
    """
    filled = expand_url(url, key)
    if "://" in filled:
        return filled
    path = os.path.expanduser(filled)  # noqa: PTH111
    return str(Path(path).absolute()) if Path(path).is_file() else path


def expand_path(text: str, key: str) -> str:
    """Replace ${VARIABLE} and a leading ``~`` in a path. Raises SettingsError, which names the setting ``key``."""
    return os.path.expanduser(expand_variables(text, key))  # noqa: PTH111  (pathlib raises for a user that is not known)
