"""Read and edit the list of cameras in the settings file of `live`, which reloads the file by itself."""

from __future__ import annotations

import os
import re
import tempfile
import threading
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from console.problems import Problem
from pipeline.errors import redact_url
from pipeline.settings import CameraSettings

_lock = threading.Lock()


class CameraSettingsFile:
    """Edits the list ``cameras`` of a settings file.

    Everything outside the list is kept, comments included. Comments inside the list are lost.

    Args:
        path: the settings file (YAML).
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def cameras(self) -> list[dict[str, Any]]:
        """The cameras as in the file, with passwords, which must not leave the server. Entries without name or url are left out.

        Raises:
            Problem: 409 if the file cannot be read.
        """
        try:
            found = yaml.safe_load(self.path.read_text()) or {}
        except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
            raise Problem(409, "The settings file cannot be read", f"{self.path}: {str(error).splitlines()[0]}") from None
        cameras = found.get("cameras") or [] if isinstance(found, dict) else []
        return [camera for camera in cameras if isinstance(camera, dict) and "name" in camera and "url" in camera]

    def redacted(self) -> list[dict[str, Any]]:
        """The cameras with their passwords replaced by ``***``."""
        return [camera | {"url": redact_url(str(camera["url"]))} for camera in self.cameras()]

    def find(self, name: str) -> dict[str, Any] | None:
        return next((camera for camera in self.cameras() if camera["name"] == name), None)

    def put(self, camera: dict[str, Any], instead_of: str = "") -> None:
        """Add a camera, or replace one.

        Args:
            camera: fields of `CameraSettings`.
            instead_of: name of the camera to replace; empty: add.

        Raises:
            Problem: 404 if there is no camera to replace, 409 if the name is taken or the file cannot be edited, 422 if a field
                is invalid.
        """
        checked = _checked(camera)
        with _lock:
            cameras = self.cameras()
            if any(known["name"] == checked["name"] and known["name"] != instead_of for known in cameras):
                raise Problem(409, "This name is taken", f"{checked['name']}: another camera has it; choose another name")
            if instead_of:
                if all(known["name"] != instead_of for known in cameras):
                    raise Problem(404, "No such camera", f"{instead_of}: somebody else may have removed it")
                cameras = [checked if known["name"] == instead_of else known for known in cameras]
            else:
                cameras.append(checked)
            self._write(cameras)

    def remove(self, name: str) -> None:
        """Remove a camera.

        Raises:
            Problem: 404 if there is no such camera, 409 for the last one (`live` needs one) or if the file cannot be edited.
        """
        with _lock:
            cameras = self.cameras()
            remaining = [known for known in cameras if known["name"] != name]
            if len(remaining) == len(cameras):
                raise Problem(404, "No such camera", f"{name}: somebody else may have removed it")
            if not remaining:
                raise Problem(409, "The last camera", "`live` needs at least one camera: stop `live` instead")
            self._write(remaining)

    def _write(self, cameras: list[dict[str, Any]]) -> None:
        """Replace the text of the list, and write the file atomically."""
        text = self.path.read_text()
        block = yaml.safe_dump(cameras, sort_keys=False, allow_unicode=True, default_flow_style=False).rstrip("\n")
        block = "cameras:\n" + "".join(f"  {line}\n" for line in block.splitlines())
        node = yaml.compose(text)
        span = None
        if isinstance(node, yaml.MappingNode):
            span = next(
                ((key.start_mark.index, value.end_mark.index) for key, value in node.value if key.value == "cameras"), None
            )
        if span is None:
            changed = text + ("" if not text or text.endswith("\n") else "\n") + block
        else:
            rest = text[span[1] :]
            comments = re.search(r"((?:^[ \t]*#.*\n|^[ \t]*\n)*)\Z", text[span[0] : span[1]], re.MULTILINE)
            trailing = comments[1] if comments else ""  # comments after the list belong to the next key
            changed = text[: span[0]] + block + trailing + rest.lstrip("\n" if not trailing else "")
        if yaml.safe_load(changed).get("cameras") != cameras:
            raise Problem(409, "Not changed", f"{self.path}: the list of cameras cannot be edited safely; edit it by hand")
        descriptor, part = tempfile.mkstemp(prefix=f".{self.path.name}.", dir=self.path.parent)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(changed)
            Path(part).chmod(self.path.stat().st_mode & 0o777)
            Path(part).replace(self.path)
        except OSError as error:
            Path(part).unlink(missing_ok=True)
            raise Problem(409, "Not changed", f"{self.path}: {error.strerror or error}") from None


def _checked(camera: dict[str, Any]) -> dict[str, Any]:
    """Validate a camera; returns its fields without those at their default. Raises Problem 422."""
    try:
        found = CameraSettings(**camera)
    except ValidationError as error:
        first = error.errors()[0]
        raise Problem(422, "Not allowed", f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    return found.model_dump(exclude_defaults=True)
