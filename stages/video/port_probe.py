"""Checks whether the port of a camera accepts connections."""

from __future__ import annotations

import socket
import time
from urllib.parse import urlsplit

PORT_CHECK_S = 0.5
PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}


class PortProbe:
    """Tries to connect to a camera's port, at most twice a second.

    ``open`` is the last result: None if the address has no port. ``why`` says why the port is not open.
    """

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            self._at = (parts.hostname, parts.port or PORTS.get(parts.scheme, 0))
        except ValueError:  # the port is not a number, or the password contains brackets
            self._at = (None, 0)
        self._next = 0.0
        self.open: bool | None = None
        self.why = ""

    def check(self) -> bool | None:
        """Return `open`, after a new attempt if the last one is old enough."""
        if all(self._at) and time.monotonic() >= self._next:
            self._next = time.monotonic() + PORT_CHECK_S
            try:
                socket.create_connection(self._at, PORT_CHECK_S / 2).close()
                self.open = True
            except socket.gaierror:
                self.open, self.why = False, "its host's name is not known"
            except OSError as error:
                self.open, self.why = False, f"its port is shut ({error.strerror or 'no answer'})"
        return self.open
