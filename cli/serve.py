"""``serve``: the review page and the HTTP API of a run."""

from __future__ import annotations

import ipaddress
import socket
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from cli.common import console, database_path, open_store
from pipeline.errors import SettingsError


def command(
    db: Annotated[Path, typer.Option(help="database, or the output folder that holds it")],
    port: Annotated[int, typer.Option(min=1, max=65535, help="TCP port")] = 8080,
    host: Annotated[str, typer.Option(help="loopback address to listen on: 127.0.0.1, ::1 or localhost")] = "127.0.0.1",
) -> None:
    """Show a run in a browser on this machine."""
    _require_loopback(host, port)
    path = database_path(db)
    open_store(path, must_exist=True).close()
    _require_free(host, port)
    import uvicorn

    from console.app import make_app

    console.print(f"http://{f'[{host}]' if ':' in host else host}:{port}/  (Ctrl-C ends it)", markup=False)
    uvicorn.run(make_app(path), host=host, port=port, log_level="warning", server_header=False)


def _require_loopback(host: str, port: int) -> None:
    """Raises SettingsError for an address that others can reach: there are no accounts."""
    try:
        fits = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        fits = False
    if not fits:
        raise SettingsError(
            f"--host {host}: must be 127.0.0.1, ::1 or localhost, or all who reach it see faces and names, without a password; "
            f"from another machine: ssh -L {port}:127.0.0.1:{port} THIS_MACHINE"
        )


def _require_free(host: str, port: int) -> None:
    """Raises SettingsError where nothing can listen there."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with closing(socket.socket(family, kind)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise SettingsError(f"--port {port}: {error.strerror or error} on {host}; name another port") from None
